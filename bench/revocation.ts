import { readCertificate } from '../x509/certificate.ts'
import { Home, homeDevices } from './home.ts'
import { alone, type Figure } from './measure.ts'
import { ocspRequest, saysRevoked } from './ocspRequest.ts'
import type { Session } from './session.ts'

/** Long past the second that is promised; then something is broken. */
const PATIENCE = 5000

/**
 * From the moment a revocation returns until OCSP has told a client: one answer's way over HTTP when
 * revoking leaves nothing to be done later. Each certificate was asked about before, so that a kept
 * answer "good" would show.
 */
export async function measureRevocation(session: Session): Promise<Figure[]> {
  const home = await Home.start(session)
  const { issuer } = await home.authorities()
  const values: number[] = []
  for (const device of homeDevices(Math.max(session.rounds, 3))) {
    const { serial } = readCertificate((await home.enroll(device)).certificate)
    const revoked = async () => {
      const body = Uint8Array.from(ocspRequest(issuer, serial, null))
      const answer = await fetch(home.gateway.url('http', '/ocsp'), { method: 'POST', body })
      return saysRevoked(Buffer.from(await answer.arrayBuffer()), issuer, serial)
    }
    if (await revoked()) throw new Error(`${device.name} is revoked before it was`)
    await home.call('cert.revoke', { which: device.name, reason: 'keyCompromise' })
    const start = performance.now()
    while (!(await revoked())) {
      if (performance.now() - start > PATIENCE)
        throw new Error(`OCSP does not say that ${device.name} is revoked`)
    }
    values.push(performance.now() - start)
  }
  return [alone('revocation-to-ocsp', 'ms', values)]
}
