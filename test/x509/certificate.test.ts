import { createPublicKey } from 'node:crypto'
import { describe, expect, test } from '@jest/globals'
import * as pkijs from 'pkijs'
import { DAY } from '../../base/clock.ts'
import {
  altNamesOf,
  basicConstraintsOf,
  encodeTbsCertificate,
  extKeyUsagesOf,
  findExtension,
  pem,
  readCertificate,
  readPem,
  serialText,
  signCertificate,
  subjectKeyIdentifierOf,
} from '../../x509/certificate.ts'
import { certsOnly } from '../../x509/cms.ts'
import { signCrl } from '../../x509/crl.ts'
import { DerReader } from '../../x509/der.ts'
import {
  basicConstraints,
  cRLNumber,
  type Extension,
  extKeyUsage,
  issuingDistributionPoint,
  KEY_USAGE,
  keyUsage,
  subjectAltName,
  subjectKeyIdentifier,
} from '../../x509/extensions.ts'
import { commonNameOnly, readCommonNames } from '../../x509/name.ts'
import { OID } from '../../x509/oids.ts'
import { signatureHolds, signerOf } from '../../x509/signature.ts'
import { keyIdentifier } from '../../x509/spki.ts'
import { fixedKey } from '../support/fixedKey.ts'
import { tempDirs } from '../support/tempDir.ts'
import { Workbench } from '../support/workbench.ts'

const bench = new Workbench(tempDirs()())
const NOW = Date.UTC(2027, 0, 1, 12)
const ca = fixedKey('P-384', 'a CA')
const device = fixedKey('P-256', 'a device')
const caName = commonNameOnly('A CA')

function certify(
  wanted: { serial?: string; subject?: Buffer; spki?: Buffer; notAfter?: number },
  ...extensions: Extension[]
): Buffer {
  const signer = signerOf(ca.privateKey)
  const {
    serial = '4a1b2c3d4e5f6071',
    subject = commonNameOnly('nas.home.arpa'),
    spki = device.spki,
  } = wanted
  const tbs = encodeTbsCertificate(
    {
      serial: Buffer.from(serial, 'hex'),
      issuer: caName,
      notBefore: NOW,
      notAfter: wanted.notAfter ?? NOW + 7 * DAY,
      subject,
      spki,
      extensions,
    },
    signer,
  )
  return signCertificate(tbs, signer)
}

const caCertificate = certify(
  { subject: caName, spki: ca.spki },
  basicConstraints({ pathLength: 1 }),
  keyUsage([KEY_USAGE.keyCertSign, KEY_USAGE.cRLSign]),
  subjectKeyIdentifier(keyIdentifier(ca.spki)),
)
const deviceCertificate = certify(
  {},
  basicConstraints(null),
  extKeyUsage([OID.serverAuth, OID.clientAuth]),
  subjectAltName({ dns: ['nas.home.arpa'], ip: ['192.168.1.20', 'fd00::20'] }, false),
)

describe('certificates', () => {
  test('PKI.js reads what was written, and verifies the signature', async () => {
    const certificate = pkijs.Certificate.fromBER(deviceCertificate)
    expect(certificate.version).toBe(2)
    expect(certificate.serialNumber.toBigInt()).toBe(0x4a1b2c3d4e5f6071n)
    expect(certificate.subject.typesAndValues[0]!.value.valueBlock.value).toBe('nas.home.arpa')
    expect(certificate.notBefore.value).toEqual(new Date(NOW))
    expect(certificate.notAfter.value).toEqual(new Date(NOW + 7 * DAY))
    expect(certificate.extensions?.map((extension) => [extension.extnID, extension.critical])).toEqual([
      [OID.basicConstraints, true],
      [OID.extKeyUsage, false],
      [OID.subjectAltName, false],
    ])
    expect(await certificate.verify(pkijs.Certificate.fromBER(caCertificate))).toBe(true)
  })

  test('we read what was written', () => {
    const certificate = readCertificate(deviceCertificate)
    expect(certificate).toMatchObject({ version: 3, algorithm: OID.ecdsaWithSha384 })
    expect(serialText(certificate.serial)).toBe('4A1B2C3D4E5F6071')
    expect(readCommonNames(certificate.issuer)).toEqual(['A CA'])
    expect(readCommonNames(certificate.subject)).toEqual(['nas.home.arpa'])
    expect([certificate.notBefore, certificate.notAfter]).toEqual([NOW, NOW + 7 * DAY])
    expect(certificate.spki).toEqual(device.spki)
    expect(altNamesOf(certificate)).toEqual({
      dns: ['nas.home.arpa'],
      ip: ['192.168.1.20', 'fd00::20'],
      others: [],
    })
    expect(extKeyUsagesOf(certificate)).toEqual([OID.serverAuth, OID.clientAuth])
    expect(basicConstraintsOf(certificate)).toEqual({ ca: false, pathLength: null })
    expect(basicConstraintsOf(readCertificate(caCertificate))).toEqual({ ca: true, pathLength: 1 })
    expect(subjectKeyIdentifierOf(certificate)).toBeNull()
    expect(subjectKeyIdentifierOf(readCertificate(caCertificate))).toEqual(keyIdentifier(ca.spki))
  })

  test('we read what OpenSSL made', async () => {
    bench.write('key.pem', device.privateKey.export({ type: 'pkcs8', format: 'pem' }))
    await bench.run(
      'openssl req -x509 -key key.pem -subj /C=DE/CN=nas.home.arpa -days 30 -set_serial 0x8001 -outform DER -out made.der' +
        ' -addext subjectAltName=DNS:NAS.home.arpa,email:nas@home.arpa -addext keyUsage=critical,digitalSignature',
    )
    const certificate = readCertificate(bench.read('made.der'))
    expect(serialText(certificate.serial)).toBe('8001')
    expect(readCommonNames(certificate.subject)).toEqual(['nas.home.arpa'])
    expect(altNamesOf(certificate)).toEqual({ dns: ['nas.home.arpa'], ip: [], others: [1] })
    expect(findExtension(certificate, OID.keyUsage)?.critical).toBe(true)
    expect(certificate.spki).toEqual(device.spki)
  })

  test('a serial with leading zeros or the highest bit set stays the same number', () => {
    for (const [serial, shown] of [
      ['00000001', '01'],
      ['ff00ff00', 'FF00FF00'],
      ['7f', '7F'],
    ] as const) {
      const der = certify({ serial })
      expect(serialText(readCertificate(der).serial)).toBe(shown)
      expect(pkijs.Certificate.fromBER(der).serialNumber.toBigInt()).toBe(BigInt(`0x${serial}`))
    }
  })

  test('an end beyond 2049 is read by OpenSSL', async () => {
    const notAfter = Date.UTC(2061, 4, 6, 7, 8, 9)
    bench.write('late.der', certify({ notAfter }))
    expect(await bench.run('openssl x509 -inform DER -in late.der -noout -enddate')).toBe(
      'notAfter=May  6 07:08:09 2061 GMT\n',
    )
    expect(readCertificate(bench.read('late.der')).notAfter).toBe(notAfter)
  })

  test('PEM: lines of 64, read back block by block', async () => {
    const text = pem(caCertificate, 'CERTIFICATE') + pem(deviceCertificate, 'CERTIFICATE')
    expect(Math.max(...text.split('\n').map((line) => line.length))).toBe(64)
    expect(readPem(`words before\n${text}words after`, 'CERTIFICATE')).toEqual([
      caCertificate,
      deviceCertificate,
    ])
    expect(readPem(text, 'X509 CRL')).toEqual([])
    bench.write('chain.pem', text)
    expect(await bench.run('openssl crl2pkcs7 -nocrl -certfile chain.pem -out chain.p7')).toBe('')
  })
})

describe('signatures', () => {
  test.each(['P-256', 'P-384'] as const)('made with %s hold, until an octet changes', (curve) => {
    const { privateKey, spki } = fixedKey(curve, 'signer')
    const publicKey = createPublicKey({ key: spki, format: 'der', type: 'spki' })
    const signer = signerOf(privateKey)
    const algorithm = new DerReader(signer.algorithm, 'algorithm').enter().oid()
    const text = Buffer.from('text')
    const signature = signer.sign(text)
    expect(signatureHolds(algorithm, text, signature, publicKey)).toBe(true)
    expect(signatureHolds(algorithm, Buffer.from('Text'), signature, publicKey)).toBe(false)
    expect(signatureHolds(OID.sha256WithRsa, text, signature, publicKey)).toBe(false)
    expect(signatureHolds('1.2.840.10045.4.1', text, signature, publicKey)).toBe(false)
  })
})

describe('CERT-2: revocation lists', () => {
  const revoked = [
    { serial: Buffer.of(0x81), revokedAt: NOW - DAY, reason: 1 },
    { serial: Buffer.of(0x05), revokedAt: NOW - DAY, reason: 0 },
  ]
  const crl = (entries: typeof revoked) =>
    signCrl(
      {
        issuer: caName,
        thisUpdate: NOW,
        nextUpdate: NOW + DAY,
        revoked: entries,
        extensions: [cRLNumber(7), issuingDistributionPoint('http://gateway.home.arpa/crl/a.crl')],
      },
      signerOf(ca.privateKey),
    )

  test('PKI.js reads every entry, and verifies the signature', async () => {
    const list = pkijs.CertificateRevocationList.fromBER(crl(revoked))
    expect(list.version).toBe(1)
    expect(list.thisUpdate.value).toEqual(new Date(NOW))
    expect(list.nextUpdate?.value).toEqual(new Date(NOW + DAY))
    expect(list.revokedCertificates?.map((entry) => entry.userCertificate.toBigInt())).toEqual([0x81n, 5n])
    expect(list.revokedCertificates?.map((entry) => entry.crlEntryExtensions?.extensions[0]?.extnID)).toEqual(
      [OID.reasonCode, undefined],
    )
    expect(await list.verify({ issuerCertificate: pkijs.Certificate.fromBER(caCertificate) })).toBe(true)
  })

  test('an empty list is left out, not written as an empty sequence', () => {
    expect(pkijs.CertificateRevocationList.fromBER(crl([])).revokedCertificates).toBeUndefined()
  })

  test('a list of several thousand is DER still', async () => {
    const many = Array.from({ length: 5000 }, (_, index) => ({
      serial: Buffer.from(`4000${index.toString(16).padStart(4, '0')}`, 'hex'),
      revokedAt: NOW,
      reason: 4,
    }))
    const der = crl(many)
    expect(der.length).toBeGreaterThan(0xffff)
    const reader = new DerReader(der, 'CRL')
    reader.enter()
    reader.end()
    bench.write('large.der', der)
    bench.writePem('ca.pem', [caCertificate])
    expect(await bench.run('openssl crl -inform DER -in large.der -noout -verify -CAfile ca.pem')).toBe(
      'verify OK\n',
    )
    expect(await bench.run('certtool --crl-info --inder --infile large.der')).toContain(
      'Revoked certificates (5000)',
    )
  })
})

describe('certificates in a CMS message', () => {
  test('OpenSSL prints them in order', async () => {
    bench.write('certs.p7', certsOnly([caCertificate, deviceCertificate]))
    const printed = await bench.run('openssl pkcs7 -inform DER -in certs.p7 -print_certs')
    expect(readPem(printed, 'CERTIFICATE')).toEqual([caCertificate, deviceCertificate])
  })

  test('PKI.js reads them', () => {
    const message = pkijs.ContentInfo.fromBER(certsOnly([deviceCertificate]))
    expect(message.contentType).toBe(pkijs.ContentInfo.SIGNED_DATA)
    const signed = new pkijs.SignedData({ schema: message.content })
    expect(signed.version).toBe(1)
    expect(signed.signerInfos).toEqual([])
    expect(signed.certificates?.map((one) => Buffer.from(one.toSchema().toBER()))).toEqual([
      deviceCertificate,
    ])
  })
})
