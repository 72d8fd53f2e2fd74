import { describe, expect, test } from '@jest/globals'
import { DAY } from '../../base/clock.ts'
import { permittedNames } from '../../ca/hierarchy.ts'
import type { KeyPair } from '../../ca/keys.ts'
import {
  type IssuerFacts,
  issuerExtensions,
  issuerName,
  ocspSignerExtensions,
  rootExtensions,
  rootName,
  serverExtensions,
  serverSubject,
  validity,
} from '../../ca/profile.ts'
import { encodeTbsCertificate, signCertificate } from '../../x509/certificate.ts'
import { signCrl } from '../../x509/crl.ts'
import {
  authorityKeyIdentifier,
  cRLNumber,
  type Extension,
  issuingDistributionPoint,
} from '../../x509/extensions.ts'
import { commonNameOnly } from '../../x509/name.ts'
import { signerOf } from '../../x509/signature.ts'
import { keyIdentifier } from '../../x509/spki.ts'
import { fixedKey } from '../support/fixedKey.ts'
import { expectGolden } from '../support/golden.ts'
import { tempDirs } from '../support/tempDir.ts'
import { Workbench } from '../support/workbench.ts'

/*
 * What everything that the gateway signs looks like to OpenSSL, with fixed keys, serials and times. A
 * change of a profile shows as a difference between texts that can be read.
 */

const bench = new Workbench(tempDirs()())
const NOW = Date.UTC(2027, 0, 1, 12)
const PERMITTED = permittedNames('home.arpa')

const keys = {
  root: fixedKey('P-384', 'root'),
  issuer: fixedKey('P-256', 'issuer'),
  device: fixedKey('P-256', 'device'),
  ocsp: fixedKey('P-256', 'ocsp'),
}
const names = { root: rootName('01GOLDENROOT'), issuer: issuerName('01GOLDENISSUER') }

function facts(pair: KeyPair, id: string, certificate: string): IssuerFacts {
  const base = 'http://gateway.home.arpa'
  const urls = { certificate: `${base}${certificate}`, crl: `${base}/crl/${id}.crl`, ocsp: `${base}/ocsp` }
  return { keyId: keyIdentifier(pair.spki), urls }
}
const root = facts(keys.root, '01GOLDENROOT', '/root.crt')
const issuer = facts(keys.issuer, '01GOLDENISSUER', '/ca/01GOLDENISSUER.crt')

function certificate(
  by: 'root' | 'issuer',
  of: { subject: Buffer; pair: KeyPair; days: number; extensions: Extension[] },
) {
  const signer = signerOf(keys[by].privateKey)
  const tbs = encodeTbsCertificate(
    {
      serial: Buffer.from('4f'.repeat(16), 'hex'),
      issuer: names[by],
      ...validity(NOW, of.days),
      subject: of.subject,
      spki: of.pair.spki,
      extensions: of.extensions,
    },
    signer,
  )
  return signCertificate(tbs, signer)
}

function deviceCertificate(dns: string[], ip: string[]): Buffer {
  const { device } = keys
  return certificate('issuer', {
    subject: commonNameOnly(serverSubject(dns)),
    pair: device,
    days: 7,
    extensions: serverExtensions({ key: device.privateKey, spki: device.spki, dns, ip }, issuer),
  })
}

/** The text without the signature, in which every ECDSA signature differs. */
async function textOf(kind: 'x509' | 'crl', der: Buffer): Promise<string> {
  bench.write('golden.der', der)
  const text = await bench.run(`openssl ${kind} -inform DER -in golden.der -noout -text`)
  return text.slice(0, text.indexOf('    Signature Value:'))
}

const golden = (name: string) => new URL(`golden/${name}.txt`, import.meta.url)

describe('TRUST-2 CONSENT-2: certificates as OpenSSL prints them', () => {
  test.each<[string, () => Buffer]>([
    [
      'root',
      () =>
        certificate('root', {
          subject: names.root,
          pair: keys.root,
          days: 3650,
          extensions: rootExtensions(keys.root.spki, PERMITTED),
        }),
    ],
    [
      'issuer',
      () =>
        certificate('root', {
          subject: names.issuer,
          pair: keys.issuer,
          days: 365,
          extensions: issuerExtensions(keys.issuer.spki, PERMITTED, root),
        }),
    ],
    ['device', () => deviceCertificate(['nas.home.arpa'], ['192.168.1.20', 'fd00::20'])],
    ['device-by-address-only', () => deviceCertificate([], ['192.168.1.20'])],
    ['device-with-a-long-name', () => deviceCertificate([`${'n'.repeat(60)}.home.arpa`], [])],
    [
      'ocsp-signer',
      () =>
        certificate('issuer', {
          subject: commonNameOnly('Hearth OCSP ISSUER'),
          pair: keys.ocsp,
          days: 14,
          extensions: ocspSignerExtensions(keys.ocsp.spki, issuer),
        }),
    ],
  ])('%s', async (name, make) => {
    expectGolden(golden(name), await textOf('x509', make()))
  })
})

describe('CERT-2: revocation lists as OpenSSL prints them', () => {
  const crl = (revoked: { serial: Buffer; revokedAt: number; reason: number }[]) =>
    signCrl(
      {
        issuer: names.issuer,
        thisUpdate: NOW,
        nextUpdate: NOW + 2 * DAY,
        revoked,
        extensions: [
          authorityKeyIdentifier(issuer.keyId),
          cRLNumber(NOW),
          issuingDistributionPoint(issuer.urls.crl),
        ],
      },
      signerOf(keys.issuer.privateKey),
    )

  test('crl-empty', async () => {
    expectGolden(golden('crl-empty'), await textOf('crl', crl([])))
  })

  test('crl', async () => {
    const entry = (octet: number, reason: number) => ({
      serial: Buffer.alloc(16, octet),
      revokedAt: NOW - octet * DAY,
      reason,
    })
    expectGolden(golden('crl'), await textOf('crl', crl([entry(1, 0), entry(2, 1), entry(3, 5)])))
  })
})

test('a golden text ends before the signature', async () => {
  const text = await textOf('x509', deviceCertificate(['nas.home.arpa'], []))
  expect(text).toContain('Signature Algorithm: ecdsa-with-SHA256')
  expect(text).not.toContain('Signature Value')
})
