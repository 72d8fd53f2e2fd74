import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { nullValue, octetString, oid, sequence, unsignedInteger } from '../../x509/der.ts'
import { OID } from '../../x509/oids.ts'
import { tempDirs } from '../support/tempDir.ts'
import { TestHome } from '../support/testHome.ts'
import { Workbench } from '../support/workbench.ts'
import { type Reply, RevocationSite } from './site.ts'

const newDir = tempDirs()
const bench = new Workbench(newDir())
let home: TestHome
let site: RevocationSite

beforeAll(async () => {
  home = await TestHome.open(newDir())
  site = await RevocationSite.open(home)
  bench.writePem('issuer.pem', [home.hierarchy.current.certificate])
})
afterAll(async () => {
  await site.close()
  await home.close()
})

const MALFORMED = Buffer.from('30030a0101', 'hex')

/** A request without a nonce about a serial of these octets, and its base64. */
async function requestAbout(serial: string): Promise<{ der: Buffer; base64: string }> {
  await bench.run(`openssl ocsp -issuer issuer.pem -serial 0x${serial} -no_nonce -reqout request.der`)
  const der = bench.read('request.der')
  return { der, base64: der.toString('base64') }
}

/** The serial that an answer is about, as OpenSSL prints it. */
async function serialIn(reply: Reply): Promise<string | undefined> {
  expect([reply.status, reply.headers['content-type']]).toEqual([200, 'application/ocsp-response'])
  bench.write('response.der', reply.body)
  const printed = await bench.run('openssl ocsp -respin response.der -noverify -resp_text')
  return /Serial Number: (\w+)/.exec(printed)?.[1]
}

/** Serials that fall on the letters in question: six bits of 111110 are a plus, of 111111 a slash. */
const SERIALS = { plus: '4AFFFBEFBEFBEFBE', slash: '4AFFFFFFFFFFFFFF' }

describe('CERT-2: OCSP by GET', () => {
  test.each([
    ['as it is', (base64: string) => base64],
    ['percent-encoded', (base64: string) => encodeURIComponent(base64)],
    ['with only the slashes encoded', (base64: string) => base64.replaceAll('/', '%2f')],
  ])('base64 with +, / and //, %s', async (_, encode) => {
    const [plus, slash] = [await requestAbout(SERIALS.plus), await requestAbout(SERIALS.slash)]
    expect(plus.base64).toContain('+')
    expect(slash.base64).toContain('//')
    expect(await serialIn(await site.get(`/ocsp/${encode(plus.base64)}`))).toBe(SERIALS.plus)
    expect(await serialIn(await site.get(`/ocsp/${encode(slash.base64)}`))).toBe(SERIALS.slash)
  })

  test('the whole URL in the request line, as proxies are asked', async () => {
    const { base64 } = await requestAbout(SERIALS.slash)
    expect(await serialIn(await site.get(`${site.url}/ocsp/${base64}`))).toBe(SERIALS.slash)
  })

  test('an answer may be kept for a minute, and says so in every header', async () => {
    const { base64 } = await requestAbout('4A01')
    const { headers } = await site.get(`/ocsp/${base64}`)
    expect(headers).toMatchObject({
      'cache-control': 'public, max-age=60, no-transform, must-revalidate',
      expires: new Date(home.clock.time + 60_000).toUTCString(),
      'last-modified': new Date(home.clock.time - 300_000).toUTCString(),
    })
  })

  test.each(['/ocsp/hello', '/ocsp/%zz', '/ocsp/%00', '/ocsp/MA==', `/ocsp/${'A'.repeat(5000)}`])(
    'what is no request is answered as malformed, and not kept: %s',
    async (target) => {
      const { status, headers, body } = await site.get(target)
      expect(status).toBe(200)
      expect(body).toEqual(MALFORMED)
      expect(headers['cache-control']).toBe('no-store')
    },
  )
})

describe('CERT-2: OCSP by POST', () => {
  test('is answered, and kept by nobody', async () => {
    const { der } = await requestAbout('4A01')
    const reply = await site.post(der)
    expect(await serialIn(reply)).toBe('4A01')
    expect(reply.headers['cache-control']).toBe('no-store')
  })

  test('an empty or senseless body is malformed', async () => {
    expect((await site.post(Buffer.alloc(0))).body).toEqual(MALFORMED)
    expect((await site.post(Buffer.from('hello'))).body).toEqual(MALFORMED)
  })

  test('more than 4096 octets are not read', async () => {
    expect((await site.post(Buffer.alloc(4096))).body).toEqual(MALFORMED)
    const { status, headers, body } = await site.post(Buffer.alloc(4097))
    expect([status, headers.connection]).toEqual([413, 'close'])
    expect(body.toString()).toBe('the body is larger than the 4096 bytes that belong here\n')
  })

  test('a certificate of which only the serial is right is unknown', async () => {
    const { serial } = await home.issue('nas.home.arpa')
    const hash = (octet: number) => octetString(Buffer.alloc(20, octet))
    const certId = sequence(
      sequence(oid(OID.sha1), nullValue),
      hash(1),
      hash(2),
      unsignedInteger(Buffer.from(serial, 'hex')),
    )
    const { body } = await site.post(sequence(sequence(sequence(sequence(certId)))))
    expect(body.toString('hex')).toBe('30030a0106')
  })
})

describe('CERT-2: CRLs and issuers by GET', () => {
  test('each CRL is where its certificates point, and may be kept for a minute', async () => {
    for (const issuer of home.hierarchy.all) {
      const { status, headers, body } = await site.get(new URL(issuer.urls.crl).pathname)
      expect(status).toBe(200)
      expect(headers).toMatchObject({
        'content-type': 'application/pkix-crl',
        'cache-control': 'public, max-age=60, no-transform, must-revalidate',
      })
      expect(body).toEqual(site.crls.find(issuer.id)?.der)
    }
  })

  test('the issuer is where its certificates point', async () => {
    const { current } = home.hierarchy
    const { headers, body } = await site.get(new URL(current.urls.certificate).pathname)
    expect(headers).toMatchObject({
      'content-type': 'application/pkix-cert',
      'cache-control': 'public, max-age=86400',
    })
    expect(body).toEqual(current.certificate)
  })

  test.each(['/crl/nobody.crl', '/ca/nobody.crt', '/crl/..%2f..%2fetc%2fpasswd.crl'])(
    '%s is not there',
    async (target) => {
      expect((await site.get(target)).status).toBe(404)
    },
  )
})
