import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { DAY, HOUR } from '../../base/clock.ts'
import { faultsOf } from '../../ca/check.ts'
import type { Issuer } from '../../ca/issuer.ts'
import { makeKeyPair } from '../../ca/keys.ts'
import { serverExtensions, serverSubject, validity } from '../../ca/profile.ts'
import { type CertificateTemplate, encodeTbsCertificate } from '../../x509/certificate.ts'
import { octetString, oid, sequence } from '../../x509/der.ts'
import {
  authorityInfoAccess,
  authorityKeyIdentifier,
  basicConstraints,
  cRLDistributionPoint,
  type Extension,
  extKeyUsage,
  KEY_USAGE,
  keyUsage,
  subjectAltName,
} from '../../x509/extensions.ts'
import { emailName } from '../../x509/generalNames.ts'
import { commonNameOnly } from '../../x509/name.ts'
import { OID } from '../../x509/oids.ts'
import { tempDirs } from '../support/tempDir.ts'
import { TestHome } from '../support/testHome.ts'

const pair = makeKeyPair('P-256')
const PERMITTED = ['home.arpa', 'local', 'localhost']
const newDir = tempDirs()
let home: TestHome
let issuer: Issuer

beforeAll(async () => {
  home = await TestHome.open(newDir())
  issuer = home.hierarchy.current
})
afterAll(() => home.close())

/** What the authority would sign for some names: nothing is wrong with it. */
function sound(names: { dns?: string[]; ip?: string[] } = {}): CertificateTemplate {
  const { dns = ['nas.home.arpa'], ip = [] } = names
  return {
    serial: Buffer.alloc(16, 0x4a),
    issuer: issuer.name,
    ...validity(home.clock.now(), 7),
    subject: commonNameOnly(serverSubject(dns)),
    spki: pair.spki,
    extensions: serverExtensions({ key: pair.privateKey, spki: pair.spki, dns, ip }, issuer),
  }
}

const faults = (template: CertificateTemplate) =>
  faultsOf(encodeTbsCertificate(template, issuer.signer), issuer, PERMITTED)

/** A sound certificate with one extension put in place of that of the same type; null takes it away. */
function withExtension(id: string, extension: Extension | null): CertificateTemplate {
  const template = sound()
  const extensions = template.extensions.flatMap((present) => {
    if (!present.includes(oid(id))) return [present]
    return extension === null ? [] : [extension]
  })
  return { ...template, extensions }
}

const altNames = (dns: string[], ip: string[] = [], critical = false) => ({
  ...withExtension(OID.subjectAltName, subjectAltName({ dns, ip }, critical)),
  subject: commonNameOnly(critical ? null : (dns[0] ?? null)),
})

describe('nothing is wrong with', () => {
  test.each<[string, () => CertificateTemplate]>([
    ['a device with a name', () => sound()],
    [
      'a device with names and addresses',
      () => sound({ dns: ['nas.home.arpa', 'a.local'], ip: ['10.0.0.1', 'fd00::1'] }),
    ],
    ['a device with an address alone', () => sound({ dns: [], ip: ['192.168.1.20'] })],
    ['localhost', () => sound({ dns: ['localhost'], ip: ['127.0.0.1', '::1'] })],
    ['a name longer than a common name may be', () => sound({ dns: [`${'a'.repeat(63)}.home.arpa`] })],
  ])('%s', (_, make) => {
    expect(faults(make())).toEqual([])
  })
})

describe('each fault is found, and told alone', () => {
  test.each<[string, () => CertificateTemplate]>([
    // Fields
    ['serial has 7 octets, not 8 to 20', () => ({ ...sound(), serial: Buffer.alloc(7, 1) })],
    ['serial has 21 octets, not 8 to 20', () => ({ ...sound(), serial: Buffer.alloc(21, 1) })],
    [
      "issuer differs from the issuing certificate's subject",
      () => ({ ...sound(), issuer: home.hierarchy.root.name }),
    ],
    ['begins before its issuer', () => ({ ...sound(), notBefore: issuer.notBefore - 1000 })],
    ['outlives its issuer', () => ({ ...sound(), notAfter: issuer.notAfter + 1000 })],

    // Extensions
    [
      'an extension occurs twice',
      () => ({ ...sound(), extensions: [...sound().extensions, cRLDistributionPoint(issuer.urls.crl)] }),
    ],
    ['basic constraints are missing', () => withExtension(OID.basicConstraints, null)],
    ['it would be a CA', () => withExtension(OID.basicConstraints, basicConstraints({}))],
    [
      'key usage is missing or not critical',
      () =>
        withExtension(
          OID.keyUsage,
          sequence(oid(OID.keyUsage), octetString(Buffer.of(0x03, 0x02, 0x07, 0x80))),
        ),
    ],
    [
      'key usage lacks digitalSignature',
      () => withExtension(OID.keyUsage, keyUsage([KEY_USAGE.keyEncipherment])),
    ],
    [
      'key usage is that of a CA',
      () => withExtension(OID.keyUsage, keyUsage([KEY_USAGE.digitalSignature, KEY_USAGE.keyCertSign])),
    ],
    [
      'key usage is that of a CA',
      () => withExtension(OID.keyUsage, keyUsage([KEY_USAGE.digitalSignature, KEY_USAGE.cRLSign])),
    ],
    [
      'extended key usage lacks serverAuth',
      () => withExtension(OID.extKeyUsage, extKeyUsage([OID.clientAuth])),
    ],
    ['extended key usage lacks serverAuth', () => withExtension(OID.extKeyUsage, null)],
    [
      'extended key usage has more than serverAuth and clientAuth',
      () => withExtension(OID.extKeyUsage, extKeyUsage([OID.serverAuth, OID.ocspSigning])),
    ],
    ['the subject key identifier is missing', () => withExtension(OID.subjectKeyIdentifier, null)],
    ['authority information access is missing', () => withExtension(OID.authorityInfoAccess, null)],
    ['the CRL distribution point is missing', () => withExtension(OID.cRLDistributionPoints, null)],
    [
      'the authority key identifier is not that of the issuer',
      () => withExtension(OID.authorityKeyIdentifier, authorityKeyIdentifier(home.hierarchy.root.keyId)),
    ],
    [
      'the authority key identifier is not that of the issuer',
      () => withExtension(OID.authorityKeyIdentifier, null),
    ],

    // Names
    [
      'the subject alternative name has names that are neither DNS nor IP',
      () => ({
        ...sound(),
        subject: commonNameOnly(null),
        extensions: withExtension(
          OID.subjectAltName,
          sequence(
            oid(OID.subjectAltName),
            Buffer.of(1, 1, 0xff),
            octetString(sequence(Buffer.from('\x82\x0dnas.home.arpa', 'latin1'), emailName('a@home.arpa'))),
          ),
        ).extensions,
      }),
    ],
    [
      'the subject alternative name must be critical exactly when the subject is empty',
      () => ({ ...sound(), subject: commonNameOnly(null) }),
    ],
    [
      'the subject alternative name must be critical exactly when the subject is empty',
      () => ({ ...altNames(['nas.home.arpa'], [], true), subject: commonNameOnly('nas.home.arpa') }),
    ],
    [
      'the common name tv.home.arpa is no subject alternative name',
      () => ({ ...sound(), subject: commonNameOnly('tv.home.arpa') }),
    ],
    ['bank.example lies outside home.arpa, local, localhost', () => altNames(['bank.example'])],
    ['nothome.arpa lies outside home.arpa, local, localhost', () => altNames(['nothome.arpa'])],
    ['*.home.arpa is no host name', () => altNames(['*.home.arpa'])],
    ['-nas.home.arpa is no host name', () => altNames(['-nas.home.arpa'])],
    ['nas-.home.arpa is no host name', () => altNames(['nas-.home.arpa'])],
    ['nas..home.arpa is no host name', () => altNames(['nas..home.arpa'])],
    ['my_nas.home.arpa is no host name', () => altNames(['my_nas.home.arpa'])],
    ['my nas.home.arpa is no host name', () => altNames(['my nas.home.arpa'])],
    [`${'a'.repeat(64)}.home.arpa is no host name`, () => altNames([`${'a'.repeat(64)}.home.arpa`])],
    ['8.8.8.8 is no private address', () => altNames([], ['8.8.8.8'], true)],
    ['2001:db8::1 is no private address', () => altNames([], ['2001:db8::1'], true)],
    ['::ffff:c0a8:114 is no private address', () => altNames([], ['::ffff:192.168.1.20'], true)],
  ])('%s', (fault, make) => {
    expect(faults(make())).toEqual([fault])
  })

  test('notBefore is not before notAfter', () => {
    const template = sound()
    expect(faults({ ...template, notBefore: template.notAfter })).toEqual([
      'notBefore is not before notAfter',
    ])
  })

  test('lives longer than 825 days', () => {
    const template = sound()
    const lasting = { ...issuer, notAfter: template.notBefore + 1000 * DAY }
    const of = (days: number) =>
      faultsOf(
        encodeTbsCertificate({ ...template, notAfter: template.notBefore + days * DAY }, issuer.signer),
        lasting,
        PERMITTED,
      )
    expect(of(825)).toEqual([])
    expect(of(826)).toEqual(['lives longer than 825 days'])
  })

  test('version is 1, not 3', () => {
    const tbs = encodeTbsCertificate(sound(), issuer.signer)
    const version = Buffer.of(0xa0, 3, 2, 1, 2)
    const rest = tbs.subarray(tbs.indexOf(version) + version.length)
    expect(faultsOf(sequence(rest), issuer, PERMITTED)).toEqual(['version is 1, not 3'])
  })

  test('the subject alternative name is missing or empty', () => {
    expect(faults(withExtension(OID.subjectAltName, null))).toEqual([
      'the subject alternative name is missing or empty',
      'the common name nas.home.arpa is no subject alternative name',
    ])
    expect(faults(altNames([], [], true))).toEqual(['the subject alternative name is missing or empty'])
  })

  test('several at once are all told', () => {
    const template = { ...altNames(['bank.example', '*.example']), notAfter: issuer.notAfter + HOUR }
    expect(faults(template)).toEqual([
      'outlives its issuer',
      '*.example is no host name',
      'bank.example lies outside home.arpa, local, localhost',
      '*.example lies outside home.arpa, local, localhost',
    ])
  })

  test('octets that are no certificate are not passed', () => {
    expect(() => faultsOf(Buffer.from('30030201', 'hex'), issuer, PERMITTED)).toThrow(/is cut short/)
  })
})

test('authority information access may lack OCSP, as a short-lived certificate does', () => {
  const access = authorityInfoAccess({ caIssuers: issuer.urls.certificate })
  expect(faults(withExtension(OID.authorityInfoAccess, access))).toEqual([])
})
