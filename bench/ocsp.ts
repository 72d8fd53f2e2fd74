import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { run } from '../test/support/run.ts'
import { readCertificate } from '../x509/certificate.ts'
import { Home, homeDevices } from './home.ts'
import { beside, cpuMicros, type Figure, OURS, takeTurns } from './measure.ts'
import { ocspRequest } from './ocspRequest.ts'
import { makeIndex, startOpensslOcsp } from './peers/opensslOcsp.ts'
import type { Session } from './session.ts'

const CERTIFICATES = 200
const SCRIPT = fileURLToPath(new URL('./ocsp.lua', import.meta.url))
/** One thread, so that the client leaves a processor to the server. */
const LOAD = ['-t', '1', '-c', '16']

interface Running {
  pid: number
  url: string
  end: () => Promise<void>
}

interface Responder {
  name: string
  /** Runs for one load; null if it cannot be had here. */
  start: () => Promise<Running | null>
  /** File of one request, DER. */
  request: string
  /** Files of requests in hexadecimal, a line each, without and with a nonce. */
  plain: string
  nonced: string
}

/** OCSP answers about 200 certificates, in turns with `openssl ocsp` on an index of the same size. */
export async function measureOcsp(session: Session): Promise<Figure[]> {
  const directory = session.directory()
  const home = await Home.start(session)
  const serials: Buffer[] = []
  for (const device of homeDevices(CERTIFICATES)) {
    serials.push(readCertificate((await home.enroll(device)).certificate).serial)
  }
  const { issuer } = await home.authorities()
  const running = { pid: home.pid, url: home.gateway.url('http', '/ocsp'), end: async () => {} }
  const index = await makeIndex(session.directory(), serials)
  const responders: Responder[] = [
    { name: OURS, start: async () => running, ...prepare(directory, OURS, issuer, serials) },
    {
      name: 'openssl ocsp',
      start: () => startOpensslOcsp(session, index, ocspRequest(index.ca.certificate, serials[0]!, null)),
      ...prepare(directory, 'openssl', index.ca.certificate, serials),
    },
  ]
  const usable: Responder[] = []
  for (const responder of responders) {
    const started = await responder.start()
    if (started === null) continue
    await mustSayGood(responder, started.url)
    await started.end()
    usable.push(responder)
  }

  const figures: Figure[] = []
  for (const [name, kind] of [
    ['ocsp', 'plain'],
    ['ocsp-nonce', 'nonced'],
  ] as const) {
    // Compiled code is what runs for the rest of a gateway's life.
    await load(usable[0]!, kind, 1)
    const results = await takeTurns(
      session.rounds,
      new Map(usable.map((responder) => [responder.name, () => load(responder, kind, session.seconds)])),
    )
    figures.push(
      ...beside(`${name}-rate`, 'answers/s', results, (result) => result.rate),
      ...beside(`${name}-cpu`, 'us CPU/answer', results, (result) => result.cpu),
    )
  }
  return figures
}

async function load(
  responder: Responder,
  kind: 'plain' | 'nonced',
  seconds: number,
): Promise<{ rate: number; cpu: number }> {
  const started = await responder.start()
  if (started === null) throw new Error(`${responder.name} does not start again`)
  const before = cpuMicros(started.pid)
  const { code, stdout, output } = await run('wrk', [
    ...LOAD,
    ...['-d', `${seconds}s`, '-s', SCRIPT, started.url, '--', responder[kind]],
    ...(kind === 'nonced' ? ['nonce'] : []),
  ])
  const cpu = cpuMicros(started.pid) - before
  await started.end()
  const answered = Number(/(\d+) requests in/.exec(stdout)?.[1] ?? 0)
  if (code !== 0 || answered === 0 || /Non-2xx|Socket errors/.test(stdout)) {
    throw new Error(`wrk against ${responder.name} ended with ${code}:\n${output}`)
  }
  return { rate: Number(/Requests\/sec: +([\d.]+)/.exec(stdout)?.[1]), cpu: cpu / answered }
}

/** What wrk posts to a responder, in files. */
function prepare(
  directory: string,
  name: string,
  issuer: Buffer,
  serials: readonly Buffer[],
): Pick<Responder, 'request' | 'plain' | 'nonced'> {
  const [plain, nonced] = [join(directory, `${name}.plain`), join(directory, `${name}.nonced`)]
  const lines = (nonce: Buffer | null) =>
    serials.map((serial) => `${ocspRequest(issuer, serial, nonce).toString('hex')}\n`).join('')
  writeFileSync(plain, lines(null))
  writeFileSync(nonced, lines(randomBytes(16)))
  const request = join(directory, `${name}.der`)
  writeFileSync(request, ocspRequest(issuer, serials[0]!, null))
  return { request, plain, nonced }
}

/** Fast answers count only if they are answers: OpenSSL's client reads one of each responder. */
async function mustSayGood({ name, request }: Responder, url: string): Promise<void> {
  const { output } = await run('openssl', ['ocsp', '-reqin', request, '-url', url, '-noverify', '-resp_text'])
  if (!output.includes('Cert Status: good')) throw new Error(`${name} does not say "good":\n${output}`)
}
