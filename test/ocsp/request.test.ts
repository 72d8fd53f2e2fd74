import { beforeAll, describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { OcspRequestError, readOcspRequest } from '../../ocsp/request.ts'
import { context, integer, nullValue, octetString, oid, sequence } from '../../x509/der.ts'
import { OID } from '../../x509/oids.ts'
import { corpus, hostileOctets } from '../support/hostile.ts'
import { tempDirs } from '../support/tempDir.ts'
import { Workbench } from '../support/workbench.ts'

const bench = new Workbench(tempDirs()())

beforeAll(async () => {
  await bench.run(
    'openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -subj /CN=CA -out ca.pem',
  )
})

async function openssl(words: string): Promise<Buffer> {
  await bench.run(`openssl ocsp ${words} -reqout request.der`)
  return bench.read('request.der')
}

/** A request about `count` certificates, with a nonce extension of these octets. */
function request(count: number, nonce: Buffer | null): Buffer {
  const hash = octetString(Buffer.alloc(20, 1))
  const certId = sequence(sequence(oid(OID.sha1), nullValue), hash, hash, integer(5))
  const list = sequence(...Array.from({ length: count }, () => sequence(certId)))
  const extensions =
    nonce === null ? [] : [context(2, sequence(sequence(oid(OID.ocspNonce), octetString(nonce))))]
  return sequence(sequence(list, ...extensions))
}

const malformed = (problem: RegExp) =>
  expect.objectContaining({
    name: 'OcspRequestError',
    code: 'OCSP_MALFORMED',
    message: expect.stringMatching(problem),
  })

describe('requests that OpenSSL makes are read', () => {
  test('about one certificate', async () => {
    const { certIds, nonce } = readOcspRequest(await openssl('-issuer ca.pem -serial 0x4A1B -no_nonce'))
    expect(certIds).toMatchObject([{ hash: OID.sha1, serial: Buffer.from('4a1b', 'hex') }])
    expect(certIds[0]!.issuerKeyHash).toHaveLength(20)
    expect(nonce).toBeNull()
  })

  test('about several, by different hashes, with a nonce', async () => {
    const { certIds, nonce } = readOcspRequest(await openssl('-issuer ca.pem -serial 1 -sha256 -serial 0xFF'))
    expect(certIds.map(({ hash, serial }) => [hash, serial.toString('hex')])).toEqual([
      [OID.sha1, '01'],
      [OID.sha256, 'ff'],
    ])
    expect(nonce).not.toBeNull()
  })

  test('also signed ones: the signature is passed over, everyone gets an answer', async () => {
    const der = await openssl('-issuer ca.pem -serial 1 -signer ca.pem -signkey ca.key')
    expect(readOcspRequest(der).certIds).toHaveLength(1)
  })
})

describe('nonces have 1 to 128 octets', () => {
  test.each([1, 16, 32, 128])('%d octets come back as they stood', (length) => {
    const value = octetString(Buffer.alloc(length, 7))
    expect(readOcspRequest(request(1, value)).nonce).toEqual(value)
  })

  test.each([0, 129, 500])('%d octets are malformed', (length) => {
    expect(() => readOcspRequest(request(1, octetString(Buffer.alloc(length))))).toThrow(
      malformed(new RegExp(`^the OCSP nonce has ${length} octets; 1 to 128 belong there$`)),
    )
  })

  test('octets that are no OCTET STRING, or have something behind it, are malformed', () => {
    expect(() => readOcspRequest(request(1, Buffer.from('raw nonce')))).toThrow(
      malformed(/^the OCSP nonce has tag/),
    )
    const followed = Buffer.concat([octetString(Buffer.of(1)), Buffer.alloc(1000)])
    expect(() => readOcspRequest(request(1, followed))).toThrow(
      malformed(/^the OCSP nonce has something behind/),
    )
  })
})

describe('what is no request is refused', () => {
  test.each<[string, Buffer, RegExp]>([
    ['nothing', Buffer.alloc(0), /^the OCSP request has tag none where 0x30 belongs/],
    ['text', Buffer.from('GET / HTTP/1.1'), /^the OCSP request has tag 0x47/],
    ['no certificate', request(0, null), /asks about no certificate$/],
    ['33 certificates', request(33, null), /asks about more than 32 certificates$/],
    [
      'something behind the end',
      Buffer.concat([request(1, null), Buffer.of(0)]),
      /has something behind its end/,
    ],
  ])('%s', (_, octets, problem) => {
    expect(() => readOcspRequest(octets)).toThrow(malformed(problem))
  })

  test('32 certificates are answered', () => {
    expect(readOcspRequest(request(32, null)).certIds).toHaveLength(32)
  })
})

describe('hostile requests end in a result or in a typed error', () => {
  const endsWell = (octets: Buffer) => {
    try {
      readOcspRequest(octets)
    } catch (error) {
      if (!(error instanceof OcspRequestError)) throw error
    }
  }

  test.each(corpus('ocsp'))('%s', (_, octets) => endsWell(octets))

  test('random and changed octets', () => {
    fc.assert(fc.property(hostileOctets('ocsp'), endsWell), { numRuns: 4000 })
  })
})
