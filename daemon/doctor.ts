import { X509Certificate } from 'node:crypto'
import { statfsSync } from 'node:fs'
import { request } from 'node:http'
import { connect, type TLSSocket } from 'node:tls'
import { Crypto } from '@peculiar/webcrypto'
import DNS2 from 'dns2'
import * as pkijs from 'pkijs'
import { SECOND } from '../base/clock.ts'
import { reasonOf } from '../base/errors.ts'
import type { StatusReport } from './status.ts'

/** One thing the doctor looked at. */
export interface Finding {
  check: string
  ok: boolean
  detail: string
}

const TIMEOUT = 5 * SECOND
const MAX_REPLY = 4 * 1024 * 1024
const LOW_DISK = 100 * 1024 * 1024

/**
 * Looks at a running gateway as its clients do: over the network, with other people's libraries.
 *
 * DNS is asked by dns2, and chain, CRL and OCSP answers are verified by PKI.js, so that a mistake in
 * Hearth's own encoders does not confirm itself.
 */
export async function examine(status: StatusReport, root: { der: Buffer }): Promise<Finding[]> {
  const engine = new pkijs.CryptoEngine({ name: 'peculiar', crypto: new Crypto() as never })
  pkijs.setEngine('peculiar', engine as unknown as pkijs.ICryptoEngine)
  const address = status.gateway.addresses[0] ?? '127.0.0.1'
  const shown: { leaf?: pkijs.Certificate; issuer?: pkijs.Certificate } = {}
  const trusted = parseCertificate(root.der)
  return [
    await check('DNS, UDP', () => askDns(status, 'udp')),
    await check('DNS, TCP', () => askDns(status, 'tcp')),
    await check('TLS and chain', async () => {
      const { leaf, issuer, detail } = await examineTls(status, address, root.der, trusted)
      Object.assign(shown, { leaf, issuer })
      return detail
    }),
    await check('CRL', () => examineCrl(status, address, shown.issuer)),
    await check('OCSP', () => examineOcsp(status, address, shown)),
    await check('Clock', async () => {
      if (!status.clock.trusted) throw new Error(status.clock.reason)
      return 'believed'
    }),
    await check('Disk', async () => {
      const { bavail, bsize } = statfsSync(status.dataDir)
      const free = bavail * bsize
      if (free < LOW_DISK)
        throw new Error(`only ${megabytes(free)} are free under ${status.dataDir}; make room`)
      return `${megabytes(free)} free under ${status.dataDir}`
    }),
  ]
}

async function check(name: string, look: () => Promise<string>): Promise<Finding> {
  try {
    return { check: name, ok: true, detail: await look() }
  } catch (error) {
    return { check: name, ok: false, detail: reasonOf(error) }
  }
}

async function askDns(status: StatusReport, transport: 'udp' | 'tcp'): Promise<string> {
  const [dns = '127.0.0.1'] = status.dns.addresses
  const server = dns === '0.0.0.0' ? '127.0.0.1' : dns === '::' ? '::1' : dns
  const wanted = status.gateway.addresses.find((address) => !address.includes(':'))
  if (wanted === undefined) return `${status.gateway.name} has no IPv4 address to ask for`
  const resolve =
    transport === 'udp'
      ? DNS2.UDPClient({
          dns: server,
          port: status.dns.port,
          socketType: server.includes(':') ? 'udp6' : 'udp4',
          timeout: TIMEOUT,
        } as never)
      : DNS2.TCPClient({ dns: server, port: status.dns.port } as never)
  const reply = await withTimeout(
    resolve(status.gateway.name, 'A'),
    `${server} did not answer over ${transport}`,
  )
  const found = reply.answers.map((answer) => answer.address)
  if (!found.includes(wanted)) {
    throw new Error(`${status.gateway.name} resolves to ${found.join(', ') || 'nothing'}, not to ${wanted}`)
  }
  return `${status.gateway.name} is ${found.join(', ')}`
}

async function examineTls(status: StatusReport, address: string, rootDer: Buffer, root: pkijs.Certificate) {
  const { hostname, port } = new URL(status.listeners.https)
  const socket = await handshake(address, Number(port || 443), hostname, rootDer)
  const peer = socket.getPeerCertificate(true)
  socket.destroy()
  const leaf = parseCertificate(peer.raw)
  const issuer = parseCertificate(peer.issuerCertificate.raw)
  const engine = new pkijs.CertificateChainValidationEngine({
    trustedCerts: [root],
    certs: [issuer, leaf],
    checkDate: new Date(),
  })
  const { result, resultMessage } = await engine.verify()
  if (!result) throw new Error(`the chain of ${hostname} does not verify: ${resultMessage}`)
  return { leaf, issuer, detail: `${hostname} verifies against the root, until ${peer.valid_to}` }
}

function handshake(host: string, port: number, servername: string, root: Buffer): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const ca = new X509Certificate(root).toString()
    const socket = connect({ host, port, servername, ca, minVersion: 'TLSv1.2' }, () => resolve(socket))
    socket.setTimeout(TIMEOUT, () => socket.destroy(new Error(`${host} port ${port} did not answer`)))
    socket.on('error', reject)
  })
}

async function examineCrl(status: StatusReport, address: string, issuer: pkijs.Certificate | undefined) {
  if (issuer === undefined) throw new Error('not examined, since TLS failed')
  const der = await fetchFrom(status, address, `/crl/${status.issuer.id}.crl`)
  const crl = pkijs.CertificateRevocationList.fromBER(der)
  if (!(await crl.verify({ issuerCertificate: issuer })))
    throw new Error("the CRL is not signed by the issuer's key")
  const until = crl.nextUpdate?.value
  if (until === undefined || until < new Date()) throw new Error(`the CRL ended at ${until?.toISOString()}`)
  return `${crl.revokedCertificates?.length ?? 0} revoked, until ${until.toISOString()}`
}

async function examineOcsp(
  status: StatusReport,
  address: string,
  shown: { leaf?: pkijs.Certificate; issuer?: pkijs.Certificate },
) {
  const { leaf, issuer } = shown
  if (leaf === undefined || issuer === undefined) throw new Error('not examined, since TLS failed')
  const asked = new pkijs.OCSPRequest()
  await asked.createForCertificate(leaf, { hashAlgorithm: 'SHA-1', issuerCertificate: issuer })
  const reply = await fetchFrom(status, address, '/ocsp', Buffer.from(asked.toSchema(true).toBER()))
  const response = pkijs.OCSPResponse.fromBER(reply)
  const answer = await response.getCertificateStatus(leaf, issuer)
  const basic = pkijs.BasicOCSPResponse.fromBER(response.responseBytes!.response.valueBlock.valueHexView)
  if (!(await basic.verify({ trustedCerts: [issuer] })))
    throw new Error('the OCSP answer is not signed for this issuer')
  if (!answer.isForCertificate || answer.status !== 0) {
    throw new Error(
      `OCSP says that the gateway's certificate is ${['good', 'revoked', 'unknown'][answer.status]}`,
    )
  }
  return "the gateway's certificate is good"
}

/** From the http listener, by address: the doctor does not depend on this machine's resolver. */
function fetchFrom(
  status: StatusReport,
  address: string,
  path: string,
  body?: Buffer,
): Promise<Uint8Array<ArrayBuffer>> {
  const { port, host } = new URL(status.listeners.http)
  return new Promise((resolve, reject) => {
    const outgoing = request(
      {
        host: address,
        port: port || 80,
        path,
        method: body === undefined ? 'GET' : 'POST',
        timeout: TIMEOUT,
        headers: {
          Host: host,
          ...(body === undefined ? {} : { 'Content-Type': 'application/ocsp-request' }),
        },
      },
      (incoming) => {
        const parts: Buffer[] = []
        let size = 0
        incoming.on('data', (part: Buffer) => {
          size += part.length
          if (size > MAX_REPLY) outgoing.destroy(new Error(`${path} is larger than it can be`))
          else parts.push(part)
        })
        incoming.on('end', () => {
          if (incoming.statusCode === 200) resolve(new Uint8Array(Buffer.concat(parts)))
          else reject(new Error(`${path} answers with HTTP status ${incoming.statusCode}`))
        })
      },
    )
    outgoing.on('timeout', () => outgoing.destroy(new Error(`${path} did not answer`)))
    outgoing.on('error', reject)
    outgoing.end(body)
  })
}

function parseCertificate(der: Buffer): pkijs.Certificate {
  return pkijs.Certificate.fromBER(new Uint8Array(der))
}

async function withTimeout<T>(work: Promise<T>, message: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(message)), TIMEOUT)
  })
  return Promise.race([work, late]).finally(() => clearTimeout(timer))
}

function megabytes(octets: number): string {
  return `${Math.floor(octets / 1024 / 1024)} MB`
}
