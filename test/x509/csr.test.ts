import { createPublicKey } from 'node:crypto'
import { beforeAll, describe, expect, test } from '@jest/globals'
import { makeKeyPair } from '../../ca/keys.ts'
import { makeCsr, proveCsr } from '../../x509/csr.ts'
import { bitString, context, integer, oid, sequence } from '../../x509/der.ts'
import { commonNameOnly } from '../../x509/name.ts'
import { OID } from '../../x509/oids.ts'
import { signerOf } from '../../x509/signature.ts'
import { readSubjectKey } from '../../x509/spki.ts'
import { tempDirs } from '../support/tempDir.ts'
import { Workbench } from '../support/workbench.ts'

const bench = new Workbench(tempDirs()())

/** Makes a key by the words of `openssl genpkey`. */
const makeKey = (key: string, words: string) =>
  bench.run(`openssl genpkey -out ${key}.key -outform PEM ${words}`)

/** Makes a request by the words of `openssl req`. */
async function makeRequest(key: string, words = '-subj /CN=nas.home.arpa'): Promise<Buffer> {
  await bench.run(`openssl req -new -key ${key}.key ${words} -outform DER -out request.der`)
  return bench.read('request.der')
}

async function publicKeyOf(key: string): Promise<Buffer> {
  await bench.run(`openssl pkey -in ${key}.key -pubout -outform DER -out public.der`)
  return bench.read('public.der')
}

beforeAll(() => makeKey('p256', '-algorithm EC -pkeyopt ec_paramgen_curve:P-256'))

describe('requests that OpenSSL made are accepted', () => {
  test.each([
    ['P-256', '-algorithm EC -pkeyopt ec_paramgen_curve:P-256', '-sha256'],
    ['P-256 with SHA-512', '-algorithm EC -pkeyopt ec_paramgen_curve:P-256', '-sha512'],
    ['P-384', '-algorithm EC -pkeyopt ec_paramgen_curve:P-384', '-sha384'],
    ['RSA 2048', '-algorithm RSA -pkeyopt rsa_keygen_bits:2048', '-sha256'],
    ['RSA 4096 with SHA-384', '-algorithm RSA -pkeyopt rsa_keygen_bits:4096', '-sha384'],
  ])('%s', async (_, key, hash) => {
    await makeKey('device', key)
    const csr = proveCsr(
      await makeRequest(
        'device',
        `${hash} -subj /O=Home/CN=nas.home.arpa -addext subjectAltName=DNS:NAS.home.arpa,IP:192.168.1.20,IP:fd00::20`,
      ),
    )
    expect(csr.commonNames).toEqual(['nas.home.arpa'])
    expect(csr.altNames).toEqual({ dns: ['nas.home.arpa'], ip: ['192.168.1.20', 'fd00::20'], others: [] })
    expect(csr.spki).toEqual(await publicKeyOf('device'))
  })

  test('without any name', async () => {
    const csr = proveCsr(await makeRequest('p256', '-subj /'))
    expect(csr.commonNames).toEqual([])
    expect(csr.altNames).toEqual({ dns: [], ip: [], others: [] })
  })

  test('extensions that it should not have are read over', async () => {
    const csr = proveCsr(
      await makeRequest(
        'p256',
        '-subj /CN=nas -addext basicConstraints=critical,CA:TRUE -addext subjectAltName=DNS:nas.home.arpa',
      ),
    )
    expect(csr.altNames.dns).toEqual(['nas.home.arpa'])
  })

  test('other kinds of names are told, for whoever decides about names', async () => {
    const names = 'DNS:nas.home.arpa,email:nas@home.arpa,URI:https://nas.home.arpa/,RID:1.2.3'
    const csr = proveCsr(await makeRequest('p256', `-subj / -addext subjectAltName=${names}`))
    expect(csr.altNames).toEqual({ dns: ['nas.home.arpa'], ip: [], others: [1, 6, 8] })
  })

  test.each([
    ['its curve written out in numbers', '-param_enc explicit'],
    ['its point compressed', '-conv_form compressed'],
  ])('a key with %s is certified in the form that browsers read', async (_, form) => {
    await bench.run(`openssl ec -in p256.key ${form} -out odd.key`)
    expect(proveCsr(await makeRequest('odd')).spki).toEqual(await publicKeyOf('p256'))
  })
})

describe('keys that browsers do not accept are refused, saying which are', () => {
  test.each([
    ['Ed25519', '-algorithm ED25519', 'a key of type ed25519 is refused: browsers do not accept it'],
    [
      'P-521',
      '-algorithm EC -pkeyopt ec_paramgen_curve:P-521',
      'a key on curve P-521 is refused: browsers accept P-256 and P-384',
    ],
    [
      'secp256k1',
      '-algorithm EC -pkeyopt ec_paramgen_curve:secp256k1',
      'a key on curve secp256k1 is refused',
    ],
    [
      'RSA 1024',
      '-algorithm RSA -pkeyopt rsa_keygen_bits:1024',
      'an RSA key of 1024 bits is refused: 2048 is the least',
    ],
    [
      'RSA with exponent 3',
      '-algorithm RSA -pkeyopt rsa_keygen_bits:2048 -pkeyopt rsa_keygen_pubexp:3',
      'an RSA exponent of 3 is refused: 65537 is usual',
    ],
    ['RSA-PSS', '-algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048', 'a key of type rsa-pss is refused'],
  ])('%s', async (_, key, problem) => {
    await makeKey('device', key)
    const request = await makeRequest('device')
    expect(() => proveCsr(request)).toThrow(
      expect.objectContaining({
        name: 'KeyError',
        code: 'KEY_UNSUPPORTED',
        message: expect.stringMatching(`^${problem}.*\\. Make a P-256 key, for instance with "openssl`),
      }),
    )
  })

  test('RSA 4104', () => {
    const n = Buffer.alloc(513, 0xff).toString('base64url')
    const key = createPublicKey({ key: { kty: 'RSA', n, e: 'AQAB' }, format: 'jwk' })
    expect(() => readSubjectKey(key.export({ type: 'spki', format: 'der' }))).toThrow(
      'an RSA key of 4104 bits is refused: 4096 is the most',
    )
  })

  test('octets that are no key', () => {
    expect(() => readSubjectKey(sequence(sequence(oid(OID.ecPublicKey)), bitString(Buffer.of(4))))).toThrow(
      expect.objectContaining({
        code: 'KEY_UNREADABLE',
        message: expect.stringContaining('Make a P-256 key'),
      }),
    )
  })
})

describe('a request without a good signature is refused', () => {
  const unsigned = (message: string) =>
    expect.objectContaining({
      name: 'CsrError',
      code: 'CSR_UNSIGNED',
      message: expect.stringContaining(message),
    })
  const notItsKey = unsigned('does not belong to its public key; make the request anew')

  test('SHA-1', async () => {
    const request = await makeRequest('p256', '-subj /CN=nas -sha1')
    expect(() => proveCsr(request)).toThrow(unsigned('sign it with SHA-256, SHA-384 or SHA-512'))
  })

  test('RSA with PSS padding', async () => {
    await makeKey('rsa', '-algorithm RSA -pkeyopt rsa_keygen_bits:2048')
    const request = await makeRequest('rsa', '-subj /CN=nas -sigopt rsa_padding_mode:pss')
    expect(() => proveCsr(request)).toThrow(
      unsigned('is signed with algorithm 1.2.840.113549.1.1.10; sign it'),
    )
  })

  test('one bit of the signature changed', async () => {
    const request = await makeRequest('p256')
    request[request.length - 1]! ^= 1
    expect(() => proveCsr(request)).toThrow(notItsKey)
  })

  test('one letter of the name changed', async () => {
    const request = await makeRequest('p256')
    request[request.indexOf('nas.home.arpa')] = 'N'.charCodeAt(0)
    expect(() => proveCsr(request)).toThrow(notItsKey)
  })

  test("somebody else's public key, signed with one's own", () => {
    const [mine, theirs] = [makeKeyPair('P-256'), makeKeyPair('P-256')]
    const request = makeCsr(
      { privateKey: mine.privateKey, spki: theirs.spki },
      { dns: ['nas.home.arpa'], ip: [] },
    )
    expect(() => proveCsr(request)).toThrow(notItsKey)
  })

  test('an algorithm that is not that of the key', () => {
    const { privateKey, spki } = makeKeyPair('P-256')
    const info = sequence(integer(0), commonNameOnly('nas'), spki, context(0))
    const request = sequence(
      info,
      sequence(oid(OID.sha256WithRsa)),
      bitString(signerOf(privateKey).sign(info)),
    )
    expect(() => proveCsr(request)).toThrow(notItsKey)
  })
})

describe('what is no request is refused, saying what to send', () => {
  test.each<[string, () => Buffer | Promise<Buffer>]>([
    ['nothing', () => Buffer.alloc(0)],
    ['text', () => Buffer.from('please')],
    [
      'PEM',
      async () => {
        await bench.run('openssl req -new -key p256.key -subj /CN=nas -out request.pem')
        return bench.read('request.pem')
      },
    ],
    [
      'a certificate',
      async () => {
        await bench.run('openssl req -x509 -key p256.key -subj /CN=nas -outform DER -out certificate.der')
        return bench.read('certificate.der')
      },
    ],
    ['something behind its end', async () => Buffer.concat([await makeRequest('p256'), Buffer.of(0)])],
    [
      'another version',
      async () => {
        const request = await makeRequest('p256')
        request[request.indexOf(Buffer.of(2, 1, 0)) + 2] = 1
        return request
      },
    ],
    [
      'an address of 5 octets',
      async () => {
        const request = await makeRequest('p256', '-subj / -addext subjectAltName=IP:1.2.3.4,RID:1.2')
        const names = request.indexOf(Buffer.of(0x87, 4, 1, 2, 3, 4))
        request.set([0x87, 5, 1, 2, 3, 4, 5, 0x88, 0], names)
        return request
      },
    ],
  ])('%s', async (_, make) => {
    const request = await make()
    expect(() => proveCsr(request)).toThrow(
      expect.objectContaining({
        name: 'CsrError',
        code: 'CSR_UNREADABLE',
        message: expect.stringMatching(/\. Send a PKCS #10 request, base64 of its DER$/),
      }),
    )
  })
})

describe('requests that we make', () => {
  test.each(['P-256', 'P-384'] as const)(
    'OpenSSL verifies one with a %s key and reads its names',
    async (curve) => {
      const names = { dns: ['nas.home.arpa', 'files.home.arpa'], ip: ['192.168.1.20', 'fd00::20'] }
      bench.write('ours.der', makeCsr(makeKeyPair(curve), names))
      const text = await bench.run('openssl req -inform DER -in ours.der -verify -noout -text')
      expect(text).toContain('Certificate request self-signature verify OK')
      expect(text).toContain('Subject: CN = nas.home.arpa')
      expect(text).toContain(
        'DNS:nas.home.arpa, DNS:files.home.arpa, IP Address:192.168.1.20, IP Address:FD00:0:0:0:0:0:0:20',
      )
    },
  )

  test('one without names has an empty subject and asks for nothing', async () => {
    bench.write('ours.der', makeCsr(makeKeyPair('P-256'), { dns: [], ip: [] }))
    const text = await bench.run('openssl req -inform DER -in ours.der -verify -noout -text')
    expect(text).toContain('Certificate request self-signature verify OK')
    expect(text).toMatch(/Subject: *\n/)
    expect(text).toContain('(none)')
  })
})
