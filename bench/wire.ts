import dnsPacket from 'dns-packet'
import dns2 from 'dns2'
import { HOSTILE_MESSAGES } from '../test/fuzz/hostileMessages.ts'
import { decodeMessage, encodeMessage } from '../wire/message.ts'
import { alone, beside, type Figure, OURS, takeTurns } from './measure.ts'
import type { Session } from './session.ts'

/** What a stub resolver asks, and an answer of a usual size: an alias, addresses, name servers and their glue. */
const TYPICAL = {
  query: `123401000001000000000001 03777777076578616d706c6503636f6d00 00010001 00002904d0000000000000`,
  response: `123481800001000300020003 03777777076578616d706c6503636f6d00 00010001
    c00c000500010000012c0006 03776562c010
    c02d000100010000003c0004 c0000201 c02d000100010000003c0004 c0000202
    c0100002000100000e100006 036e7331c010 c0100002000100000e100006 036e7332c010
    c05f0001000100000e100004 c0000235 c071001c000100000e100010 20010db8000000000000000000000035
    00002904d0000000000000`,
}

/** Messages are read once before they are timed, as they are by a server that has run for a while. */
const WARM_UP = 20

/**
 * What the codec takes in this process, beside other codecs for JavaScript: a usual query and a usual
 * response, and the slowest message that anybody knows how to make.
 */
export async function measureWire(session: Session): Promise<Figure[]> {
  const calls = session.quick ? 2000 : 100_000
  const figures: Figure[] = []
  for (const [kind, hex] of Object.entries(TYPICAL)) {
    const octets = Buffer.from(hex.replace(/\s/g, ''), 'hex')
    const [ours, packet, dns2Packet] = [
      decodeMessage(octets),
      dnsPacket.decode(octets),
      dns2.Packet.parse(octets),
    ]
    figures.push(
      ...(await perCall(session, `wire-decode-${kind}`, calls, {
        [OURS]: () => decodeMessage(octets),
        'dns-packet': () => dnsPacket.decode(octets),
        dns2: () => dns2.Packet.parse(octets),
      })),
      ...(await perCall(session, `wire-encode-${kind}`, calls, {
        [OURS]: () => encodeMessage(ours),
        'dns-packet': () => dnsPacket.encode(packet),
        dns2: () => dns2Packet.toBuffer(),
      })),
    )
  }

  const decoded = HOSTILE_MESSAGES.map((octets) => decodeMessage(octets))
  const slowest = await takeTurns(
    session.rounds,
    new Map([
      ['decode', async () => slowestOf(HOSTILE_MESSAGES, decodeMessage)],
      ['encode', async () => slowestOf(decoded, encodeMessage)],
    ]),
  )
  for (const [action, values] of slowest) figures.push(alone(`wire-slowest-${action}`, 'ms', values))
  return figures
}

/** Microseconds a call, in turns. */
async function perCall(
  session: Session,
  name: string,
  calls: number,
  contenders: Record<string, () => unknown>,
): Promise<Figure[]> {
  const timed = (call: () => unknown) => async () => {
    const start = performance.now()
    for (let left = calls; left > 0; left -= 1) call()
    return ((performance.now() - start) / calls) * 1000
  }
  const turns = new Map(Object.entries(contenders).map(([contender, call]) => [contender, timed(call)]))
  await takeTurns(1, turns)
  return beside(name, 'us', await takeTurns(session.rounds, turns), (microseconds) => microseconds)
}

/** Milliseconds of the slowest, each at its best of some calls: what it costs, without what else goes on. */
function slowestOf<T>(inputs: readonly T[], call: (input: T) => unknown): number {
  const best = inputs.map((input) => {
    let milliseconds = Number.POSITIVE_INFINITY
    for (let left = WARM_UP; left > 0; left -= 1) {
      const start = performance.now()
      call(input)
      milliseconds = Math.min(milliseconds, performance.now() - start)
    }
    return milliseconds
  })
  return Math.max(...best)
}
