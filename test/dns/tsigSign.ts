import { createHmac } from 'node:crypto'
import { Name } from '../../wire/name.ts'

/** How a message is signed; what is not said is as an honest client does it. */
export interface SignOptions {
  name: string
  secret: Buffer
  /** Seconds since 1970. */
  time?: number
  fudge?: number
  algorithm?: string
  /** Octets of the MAC that are sent. */
  macOctets?: number
  originalId?: number
}

/**
 * Signs a request, written down from RFC 8945 section 4 without a look at `dns/tsig.ts`, so that the one
 * checks the other.
 */
export function sign(message: Buffer, options: SignOptions): Buffer {
  const {
    name,
    secret,
    time = Math.floor(Date.now() / 1000),
    fudge = 300,
    algorithm = 'hmac-sha256',
    macOctets,
    originalId = message.readUInt16BE(0),
  } = options
  const u16 = (value: number) => Buffer.of(value >> 8, value & 0xff)
  const wire = (text: string) => Buffer.from(Name.parse(text).wire, 'latin1')
  const timers = Buffer.alloc(8)
  timers.writeUIntBE(time, 0, 6)
  timers.writeUInt16BE(fudge, 6)
  const head = Buffer.concat([wire(name), u16(250), u16(255), Buffer.alloc(4)])
  const variables = [wire(name), u16(255), Buffer.alloc(4), wire(algorithm), timers, u16(0), u16(0)]
  const mac = createHmac(algorithm.replace('hmac-', ''), secret)
    .update(Buffer.concat([message, ...variables]))
    .digest()
    .subarray(0, macOctets)
  const rdata = Buffer.concat([
    wire(algorithm),
    timers,
    u16(mac.length),
    mac,
    u16(originalId),
    u16(0),
    u16(0),
  ])
  const signed = Buffer.concat([message, head, u16(rdata.length), rdata])
  signed.writeUInt16BE(signed.readUInt16BE(10) + 1, 10)
  return signed
}

/** The TSIG of a message that was read, opened: `error`, the length of its MAC, and the other data. */
export function readTsig({ data }: { data: Uint8Array }): {
  error: number
  mac: Buffer
  other: Buffer
  time: number
} {
  const octets = Buffer.from(data)
  const timeAt = octets.indexOf(0) + 1
  const macAt = timeAt + 10
  const mac = octets.subarray(macAt, macAt + octets.readUInt16BE(macAt - 2))
  const errorAt = macAt + mac.length + 2
  return {
    mac,
    error: octets.readUInt16BE(errorAt),
    other: octets.subarray(errorAt + 4),
    time: octets.readUIntBE(timeAt, 6),
  }
}
