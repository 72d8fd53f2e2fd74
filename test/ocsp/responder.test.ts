import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import * as pkijs from 'pkijs'
import { HOUR, MINUTE } from '../../base/clock.ts'
import { Ledger } from '../../ca/ledger.ts'
import { OcspSigners } from '../../ca/ocspSigner.ts'
import type { RevocationReason } from '../../ca/reasons.ts'
import { revokeSerial } from '../../ca/revocation.ts'
import { Responder } from '../../ocsp/responder.ts'
import { findCertificate } from '../../store/certificates.ts'
import { tempDirs } from '../support/tempDir.ts'
import { TestClock } from '../support/testClock.ts'
import { TestHome } from '../support/testHome.ts'
import { Workbench } from '../support/workbench.ts'
import { RevocationSite } from './site.ts'

const newDir = tempDirs()
let clock: TestClock
let home: TestHome
let site: RevocationSite
let bench: Workbench
/** The serial of the certificate in `nas.pem`. */
let serial: string

beforeEach(async () => {
  clock = new TestClock()
  home = await TestHome.open(newDir(), { clock })
  site = await RevocationSite.open(home)
  bench = new Workbench(newDir())
  const { root, current } = home.hierarchy
  bench.writePem('issuer.pem', [current.certificate])
  bench.writePem('trust.pem', [root.certificate, current.certificate])
  const issued = await home.issue('nas.home.arpa')
  serial = issued.serial
  bench.writePem('nas.pem', [issued.certificate])
})
afterEach(async () => {
  await site.close()
  await home.close()
})

const revoke = (reason: RevocationReason) => revokeSerial(home.store, serial, reason, 'test')

/** What `openssl ocsp` prints after asking over HTTP and verifying the answer. */
const openssl = (words = '-cert nas.pem') =>
  bench.run(`openssl ocsp -url ${site.url}/ocsp -CAfile trust.pem -issuer issuer.pem ${words}`)

/** A request that OpenSSL makes, in DER. */
async function requestOf(words: string): Promise<Buffer> {
  await bench.run(`openssl ocsp -issuer issuer.pem ${words} -reqout request.der`)
  return bench.read('request.der')
}

/** Asks the responder itself, without HTTP; OpenSSL prints the answer. */
async function answerTo(request: Buffer): Promise<string> {
  bench.write('response.der', (await site.responder.respond(request)).der)
  return bench.run('openssl ocsp -respin response.der -noverify -resp_text')
}

describe('CERT-2: openssl ocsp asks and verifies', () => {
  test('a good certificate, with a nonce of its own making', async () => {
    const printed = await openssl('-cert nas.pem')
    expect(printed).toContain('Response verify OK')
    expect(printed).toContain('nas.pem: good')
    expect(printed).not.toContain('nonce in response')
  })

  test('a revoked certificate, with time and reason', async () => {
    await revoke('keyCompromise')
    expect(await openssl()).toMatch(
      /Response verify OK\nnas\.pem: revoked\n\tThis Update: .*\n\tNext Update: .*\n\tReason: keyCompromise\n\tRevocation Time: /,
    )
  })

  test('an unspecified reason is not spoken of', async () => {
    await revoke('unspecified')
    const printed = await openssl()
    expect(printed).toContain('nas.pem: revoked')
    expect(printed).not.toContain('Reason')
  })

  test('a serial that was never issued', async () => {
    const printed = await openssl('-serial 0x4A00000000000000000000000000BEEF')
    expect(printed).toContain('Response verify OK')
    expect(printed).toContain(': unknown')
  })

  test('several certificates in one request, each with its own answer', async () => {
    const tv = await home.issue('tv.home.arpa')
    bench.writePem('tv.pem', [tv.certificate])
    await revokeSerial(home.store, tv.serial, 'superseded', 'test')
    const printed = await openssl('-cert nas.pem -cert tv.pem -serial 7')
    expect(printed).toContain('Response verify OK')
    expect(printed).toMatch(/nas\.pem: good\n.*tv\.pem: revoked\n.*7: unknown\n/s)
  })

  test.each(['sha1', 'sha256'])('CertIDs by %s come back as they were asked', async (hash) => {
    const printed = await openssl(`-${hash} -cert nas.pem -no_nonce -resp_text`)
    expect(printed).toContain(`Hash Algorithm: ${hash}`)
    expect(printed).toContain('nas.pem: good')
  })

  test('an issuer that is not ours gets no answer', async () => {
    const stranger = await TestHome.open(newDir(), { clock })
    bench.writePem('issuer.pem', [stranger.hierarchy.current.certificate])
    await stranger.close()
    await expect(openssl('-serial 1')).rejects.toThrow('Responder Error: unauthorized (6)')
  })

  test('a hash that nobody asks by gets no answer', async () => {
    await expect(openssl('-sha512 -cert nas.pem')).rejects.toThrow('Responder Error: unauthorized (6)')
  })
})

describe('CERT-2: others verify too', () => {
  test('GnuTLS asks and verifies', async () => {
    const ask = `ocsptool --ask=${site.url}/ocsp --load-cert nas.pem --load-issuer issuer.pem --load-trust trust.pem`
    expect(await bench.run(ask)).toMatch(/Certificate Status: good.*Verifying OCSP Response: Success\./s)
    await revoke('cessationOfOperation')
    const { output } = await bench.try(ask)
    expect(output).toMatch(/Certificate Status: revoked.*Verifying OCSP Response: Success\./s)
  })

  test('PKI.js reads the answer and verifies it up to the issuer', async () => {
    await revoke('privilegeWithdrawn')
    const { der } = await site.responder.respond(await requestOf('-cert nas.pem'))
    const response = pkijs.OCSPResponse.fromBER(der)
    const basic = pkijs.BasicOCSPResponse.fromBER(response.responseBytes!.response.valueBlock.valueHexView)
    const { root, current } = home.hierarchy
    const [issuer, trusted] = [current, root].map(({ certificate }) => pkijs.Certificate.fromBER(certificate))
    expect(await basic.verify({ trustedCerts: [trusted!, issuer!] })).toBe(true)
    const nas = pkijs.Certificate.fromBER((await findCertificate(home.store.db, serial))!.certificate)
    expect(await basic.getCertificateStatus(nas, issuer!)).toEqual({ isForCertificate: true, status: 1 })
  })
})

describe('an answer', () => {
  test('is valid from 5 minutes ago for 4 hours, and no older than the revocation that it tells', async () => {
    const request = await requestOf('-cert nas.pem -no_nonce')
    expect((await site.responder.respond(request)).period).toEqual({
      thisUpdate: clock.time - 5 * MINUTE,
      nextUpdate: clock.time + 4 * HOUR,
    })
    await revoke('superseded')
    clock.pass(MINUTE)
    expect((await site.responder.respond(request)).period?.thisUpdate).toBe(clock.time - MINUTE)
  })

  test('without a nonce is kept, and signed anew when half of its life is over', async () => {
    const request = await requestOf('-cert nas.pem -no_nonce')
    const answer = async () => (await site.responder.respond(request)).der
    const first = await answer()
    clock.pass(2 * HOUR - 5 * MINUTE - 1000)
    expect(await answer()).toBe(first)
    clock.pass(1000)
    expect(await answer()).not.toBe(first)
  })

  test('about an unknown serial is not kept: it may be issued the next moment', async () => {
    const request = await requestOf('-serial 5 -no_nonce')
    const first = (await site.responder.respond(request)).der
    expect((await site.responder.respond(request)).der).not.toBe(first)
  })

  test('to a nonce has the nonce, and is made for it alone', async () => {
    const request = await requestOf('-cert nas.pem')
    const [one, other] = [await site.responder.respond(request), await site.responder.respond(request)]
    expect(one.der).not.toEqual(other.der)
    bench.write('response.der', one.der)
    const printed = await bench.run('openssl ocsp -reqin request.der -respin response.der -CAfile trust.pem')
    expect(printed).toContain('Response verify OK')
    expect(printed).not.toMatch(/nonce/i)
  })

  test('may be stapled; there is none once the issuer is gone', async () => {
    const octets = Buffer.from(serial, 'hex')
    bench.write('response.der', (await site.responder.staple(home.hierarchy.current, octets))!)
    const printed = await bench.run(
      'openssl ocsp -respin response.der -CAfile trust.pem -issuer issuer.pem -cert nas.pem',
    )
    expect(printed).toContain('nas.pem: good')
    const nobody = new Responder({ ledger: home.ledger, clock, signers: () => [] })
    expect(await nobody.staple(home.hierarchy.current, octets)).toBeNull()
  })
})

describe('CERT-1: a revocation shows in the very next answer', () => {
  test('though an answer was kept', async () => {
    const request = await requestOf('-cert nas.pem -no_nonce')
    expect(await answerTo(request)).toContain('Cert Status: good')
    await revoke('keyCompromise')
    expect(await answerTo(request)).toContain('Cert Status: revoked')
  })

  test('though an answer was being signed at that moment', async () => {
    // The real ledger, held up between reading the status and handing it over.
    let letGo = () => {}
    let hasRead = () => {}
    const held = new Promise<void>((resolve) => {
      letGo = resolve
    })
    const read = new Promise<void>((resolve) => {
      hasRead = resolve
    })
    class HeldLedger extends Ledger {
      override async status(issuerId: string, wanted: string) {
        const status = await super.status(issuerId, wanted)
        hasRead()
        await held
        return status
      }
    }
    const signers = new OcspSigners({ ...home, issuers: () => home.hierarchy.issuers })
    await signers.refresh()
    const responder = new Responder({ ledger: new HeldLedger(home), clock, signers: () => signers.current })
    home.store.follow(() => responder.forget())

    const request = await requestOf('-cert nas.pem -no_nonce')
    const early = responder.respond(request)
    await read
    await revoke('keyCompromise')
    letGo()
    expect((await early).period).not.toBeNull()
    bench.write('response.der', (await responder.respond(request)).der)
    expect(await bench.run('openssl ocsp -respin response.der -noverify -resp_text')).toContain(
      'Cert Status: revoked',
    )
  })
})
