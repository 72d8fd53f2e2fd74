import { Agent, request } from 'node:https'
import { setTimeout as sleep } from 'node:timers/promises'
import { pem } from '../x509/certificate.ts'
import { dnsperf, LOAD, questionFile } from './dnsperf.ts'
import { csrOf, Home, homeDevices } from './home.ts'
import { alone, type Figure, median } from './measure.ts'
import type { Session } from './session.ts'

const DEVICES = 200
const FLOOD_RATE = 100_000
/** Between two requests: a person and a device, not a load of their own. */
const PAUSE = 40

/**
 * What a flood of DNS queries does to the rest of the gateway: the median time of a page of the console
 * and of a renewal over EST, quiet and under 100,000 queries a second, as a ratio.
 */
export async function measureFlood(session: Session): Promise<Figure[]> {
  const devices = homeDevices(DEVICES)
  const home = await Home.start(session)
  const device = await home.enroll(devices[0]!)
  for (const other of devices.slice(1)) await home.add(other)
  const questions = questionFile(
    session,
    devices.map(({ name }) => name),
  )
  const { root, issuer } = await home.authorities()
  const agent = new Agent({
    keepAlive: true,
    ca: pem(root, 'CERTIFICATE'),
    cert: pem(device.certificate, 'CERTIFICATE') + pem(issuer, 'CERTIFICATE'),
    key: device.key.pem,
  })
  session.defer(() => agent.destroy())
  const page = () => time(agent, home.gateway.url('https', '/'), null)
  const csr = csrOf(device, device.key).toString('base64')
  const renewal = () => time(agent, home.gateway.url('est', '/.well-known/est/simplereenroll'), csr)

  const seconds = session.quick ? 2 : 30
  const port = home.gateway.status.dns.port
  const [rates, pages, renewals]: [number[], number[], number[]] = [[], [], []]
  for (let round = 0; round < Math.min(session.rounds, 3); round += 1) {
    const quiet = await delays(seconds / 3, page, renewal)
    const flood = dnsperf(questions, port, seconds, [...LOAD, '-Q', String(FLOOD_RATE)])
    const flooded = await delays(seconds - 1, page, renewal)
    rates.push((await flood).rate)
    pages.push(flooded.page / quiet.page)
    renewals.push(flooded.renewal / quiet.renewal)
  }
  return [
    alone('flood-rate', 'queries/s', rates),
    alone('flood-page', 'x quiet', pages),
    alone('flood-renewal', 'x quiet', renewals),
  ]
}

/** Medians over some seconds of requests in turns, milliseconds. */
async function delays(
  seconds: number,
  page: () => Promise<number>,
  renewal: () => Promise<number>,
): Promise<{ page: number; renewal: number }> {
  const [pages, renewals]: [number[], number[]] = [[], []]
  for (const end = performance.now() + seconds * 1000; performance.now() < end; ) {
    pages.push(await page())
    await sleep(PAUSE)
    renewals.push(await renewal())
    await sleep(PAUSE)
  }
  return { page: median(pages), renewal: median(renewals) }
}

/** Milliseconds until a request is answered with 200; `csr` makes it a renewal. */
function time(agent: Agent, url: string, csr: string | null): Promise<number> {
  const start = performance.now()
  const options =
    csr === null
      ? { agent }
      : {
          agent,
          method: 'POST',
          headers: { 'Content-Type': 'application/pkcs10', 'Content-Transfer-Encoding': 'base64' },
        }
  return new Promise((resolve, reject) => {
    const sent = request(url, options, (response) => {
      response.on('error', reject)
      response.on('end', () => {
        if (response.statusCode === 200) resolve(performance.now() - start)
        else reject(new Error(`${url} answered ${response.statusCode}`))
      })
      response.resume()
    })
    sent.on('error', reject)
    sent.end(csr ?? undefined)
  })
}
