import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { type KeyPair, makeKeyPair } from '../../ca/keys.ts'
import { serverExtensions, serverSubject, validity } from '../../ca/profile.ts'
import { newSerial } from '../../ca/serial.ts'
import { encodeTbsCertificate, signCertificate } from '../../x509/certificate.ts'
import { contextPrimitive, octetString, oid, sequence } from '../../x509/der.ts'
import {
  authorityKeyIdentifier,
  basicConstraints,
  type Extension,
  KEY_USAGE,
  keyUsage,
  subjectAltName,
  subjectKeyIdentifier,
} from '../../x509/extensions.ts'
import { emailName, uriName } from '../../x509/generalNames.ts'
import { commonNameOnly } from '../../x509/name.ts'
import { OID } from '../../x509/oids.ts'
import { type Signer, signerOf } from '../../x509/signature.ts'
import { keyIdentifier } from '../../x509/spki.ts'
import { tempDirs } from '../support/tempDir.ts'
import { TestHome } from '../support/testHome.ts'
import { Workbench } from '../support/workbench.ts'

/*
 * What the household is promised: whoever steals the issuer's key still cannot be anything outside the
 * home. The certificates here are signed with that key itself, past every check of the authority.
 */

const newDir = tempDirs()
const bench = new Workbench(newDir())
let home: TestHome

beforeAll(async () => {
  home = await TestHome.open(newDir())
  bench.writePem('root.pem', [home.hierarchy.root.certificate])
})
afterAll(() => home.close())

/** A certificate for a new key with any names and extensions, signed with whoever's key. */
function sign(
  by: { name: Buffer; signer: Signer },
  subject: string | null,
  makeExtensions: (pair: KeyPair) => Extension[],
): { certificate: Buffer; pair: KeyPair } {
  const pair = makeKeyPair('P-256')
  const tbs = encodeTbsCertificate(
    {
      serial: newSerial(),
      issuer: by.name,
      ...validity(home.clock.now(), 7),
      subject: commonNameOnly(subject),
      spki: pair.spki,
      extensions: makeExtensions(pair),
    },
    by.signer,
  )
  return { certificate: signCertificate(tbs, by.signer), pair }
}

/** A server certificate with any subject alternative name, signed with the issuer's key. */
function forge(subject: string | null, altName: Extension): Buffer {
  const issuer = home.hierarchy.current
  const extensions = ({ privateKey: key, spki }: KeyPair) =>
    serverExtensions({ key, spki, dns: [], ip: [] }, issuer).with(-1, altName)
  return sign(issuer, subject, extensions).certificate
}

const forgeNames = (dns: string[], ip: string[] = []) =>
  forge(serverSubject(dns), subjectAltName({ dns, ip }, serverSubject(dns) === null))

const forgeOther = (...names: Buffer[]) =>
  forge(null, sequence(oid(OID.subjectAltName), Buffer.of(1, 1, 0xff), octetString(sequence(...names))))

/** What OpenSSL says of a certificate below our root: `OK`, or the reason. */
async function openssl(certificate: Buffer, ...between: Buffer[]): Promise<string> {
  bench.writePem('leaf.pem', [certificate])
  bench.writePem('between.pem', between.length > 0 ? between : [home.hierarchy.current.certificate])
  const { code, output } = await bench.try(
    'openssl verify -x509_strict -purpose sslserver -CAfile root.pem -untrusted between.pem leaf.pem',
  )
  return code === 0 ? 'OK' : (/error \d+ at \d depth lookup: (.*)/.exec(output)?.[1] ?? output)
}

async function gnutls(certificate: Buffer, ...between: Buffer[]): Promise<string> {
  const chain = between.length > 0 ? between : [home.hierarchy.current.certificate]
  bench.writePem('chain.pem', [certificate, ...chain])
  const { code, output } = await bench.try(
    'certtool --verify --verify-profile medium --load-ca-certificate root.pem --infile chain.pem',
  )
  const verdict = /Chain verification output: (.*)/.exec(output)?.[1] ?? output
  return code === 0 && verdict.startsWith('Verified.') ? 'OK' : verdict
}

describe('TRUST-2: a certificate for a device is accepted', () => {
  test.each([
    ['with a name', 'nas.home.arpa', []],
    ['with a name and addresses', 'tv.home.arpa', ['192.168.1.20', 'fd00::20', 'fe80::20', '169.254.9.9']],
  ])('%s', async (_, name, addresses) => {
    await home.addDevice(name, addresses)
    const { certificate } = await home.issue(name)
    expect([await openssl(certificate), await gnutls(certificate)]).toEqual(['OK', 'OK'])
  })

  test('for an address alone', async () => {
    const { certificate } = await home.issue('camera.home.arpa', { names: [], addresses: ['10.0.0.9'] })
    expect([await openssl(certificate), await gnutls(certificate)]).toEqual(['OK', 'OK'])
  })

  test('for localhost and .local, which the root permits too (UC-04)', async () => {
    const certificate = forgeNames(['localhost', 'display.local'], ['127.0.0.1', '::1'])
    expect([await openssl(certificate), await gnutls(certificate)]).toEqual(['OK', 'OK'])
  })
})

describe('CONSENT-2: outside the home the root is worth nothing, not even with the issuer’s stolen key', () => {
  test.each<[string, () => Buffer]>([
    ['a bank', () => forgeNames(['bank.example'])],
    ['a bank beside a device', () => forgeNames(['nas.home.arpa', 'bank.example'])],
    ['a name that only ends like the home', () => forgeNames(['nothome.arpa'])],
    ['the domain above', () => forgeNames(['arpa'])],
    ['an address of the internet', () => forgeNames([], ['8.8.8.8'])],
    ['an IPv6 address of the internet', () => forgeNames([], ['2001:4860:4860::8888'])],
    ['an address of the internet beside a device', () => forgeNames(['nas.home.arpa'], ['8.8.8.8'])],
    ['an IPv4 address in IPv6 clothes', () => forgeNames([], ['::ffff:192.168.1.20'])],
  ])('%s: refused by OpenSSL and by GnuTLS', async (_, make) => {
    const certificate = make()
    expect(await openssl(certificate)).toBe('permitted subtree violation')
    expect(await gnutls(certificate)).toContain('violates')
  })

  test('an e-mail address elsewhere: refused by both', async () => {
    const certificate = forgeOther(emailName('someone@bank.example'))
    expect(await openssl(certificate)).toBe('permitted subtree violation')
    expect(await gnutls(certificate)).toContain('violates')
  })

  test('a URI elsewhere: refused by OpenSSL', async () => {
    expect(await openssl(forgeOther(uriName('https://bank.example/')))).toBe('permitted subtree violation')
    expect(await openssl(forgeOther(uriName('https://nas.home.arpa/')))).toBe('OK')
  })

  test('a CA of the thief’s own below the issuer: refused by both', async () => {
    const thief = sign(home.hierarchy.current, 'Thief', ({ spki }) => [
      basicConstraints({}),
      keyUsage([KEY_USAGE.keyCertSign]),
      subjectKeyIdentifier(keyIdentifier(spki)),
      authorityKeyIdentifier(home.hierarchy.current.keyId),
    ])
    const name = commonNameOnly('Thief')
    const victim = sign({ name, signer: signerOf(thief.pair.privateKey) }, 'nas.home.arpa', ({ spki }) => [
      subjectKeyIdentifier(keyIdentifier(spki)),
      authorityKeyIdentifier(keyIdentifier(thief.pair.spki)),
      subjectAltName({ dns: ['nas.home.arpa'], ip: [] }, false),
    ])
    const between = [thief.certificate, home.hierarchy.current.certificate]
    expect(await openssl(victim.certificate, ...between)).toBe('path length constraint exceeded')
    expect(await gnutls(victim.certificate, ...between)).not.toBe('OK')
  })

  test('types of names that no constraint mentions stay unlimited; no client goes by one', async () => {
    expect(await openssl(forgeOther(contextPrimitive(8, Buffer.of(0x2a, 3))))).toBe('OK')
  })
})
