import { fileURLToPath } from 'node:url'
import { run } from '../test/support/run.ts'
import { pem } from '../x509/certificate.ts'
import { csrOf, Home, homeDevices } from './home.ts'
import { beside, cpuMicros, type Figure, OURS, takeTurns } from './measure.ts'
import { startCfssl } from './peers/cfssl.ts'
import type { PostJob, PostResult } from './postClient.ts'
import type { Session } from './session.ts'

const CLIENT = fileURLToPath(new URL('./postClient.ts', import.meta.url))
const CONNECTIONS = 8
/** Certificates of one round at most. */
const MOST = 20_000

interface Signer {
  name: string
  pid: number
  job: Pick<PostJob, 'url' | 'headers' | 'body' | 'trusted' | 'certificate' | 'key'>
}

/**
 * EST renewals over kept-alive mutual TLS, each recorded durably before it is answered, in turns with
 * cfssl signing the same request over the same kind of connection into a SQLite record.
 */
export async function measureEnroll(session: Session): Promise<Figure[]> {
  const home = await Home.start(session)
  const device = await home.enroll(homeDevices(1)[0]!)
  const { root, issuer } = await home.authorities()
  const csr = csrOf(device, device.key)
  const signers: Signer[] = [
    {
      name: OURS,
      pid: home.pid,
      job: {
        url: home.gateway.url('est', '/.well-known/est/simplereenroll'),
        headers: { 'Content-Type': 'application/pkcs10', 'Content-Transfer-Encoding': 'base64' },
        body: csr.toString('base64'),
        trusted: pem(root, 'CERTIFICATE'),
        certificate: pem(device.certificate, 'CERTIFICATE') + pem(issuer, 'CERTIFICATE'),
        key: device.key.pem,
      },
    },
  ]
  const cfssl = await startCfssl(session)
  if (cfssl !== null) {
    const { name, pid, port, path, trusted, certificate, key } = cfssl
    const body = JSON.stringify({ certificate_request: pem(csr, 'CERTIFICATE REQUEST') })
    const headers = { 'Content-Type': 'application/json' }
    signers.push({
      name,
      pid,
      job: { url: `https://127.0.0.1:${port}${path}`, headers, body, trusted, certificate, key },
    })
  }

  for (const signer of signers) await load(signer, 1)
  const before = cfssl?.recorded() ?? 0
  const results = await takeTurns(
    session.rounds,
    new Map(signers.map((signer) => [signer.name, () => load(signer, session.seconds)])),
  )
  if (cfssl !== null && cfssl.recorded() === before) session.note('cfssl recorded nothing of what it signed')
  return [
    ...beside('enroll-rate', 'certificates/s', results, (result) => result.rate),
    ...beside('enroll-cpu', 'us CPU/certificate', results, (result) => result.cpu),
  ]
}

async function load(signer: Signer, seconds: number): Promise<{ rate: number; cpu: number }> {
  const job: PostJob = { ...signer.job, connections: CONNECTIONS, seconds, most: MOST }
  const before = cpuMicros(signer.pid)
  const { code, stdout, stderr } = await run(process.execPath, [CLIENT], { input: JSON.stringify(job) })
  const cpu = cpuMicros(signer.pid) - before
  if (code !== 0) throw new Error(`the client of ${signer.name} ended with ${code}: ${stderr}`)
  const { answered, refused, seconds: took } = JSON.parse(stdout) as PostResult
  if (refused > 0) throw new Error(`${signer.name} refused ${refused} of ${answered} requests`)
  return { rate: answered / took, cpu: cpu / answered }
}
