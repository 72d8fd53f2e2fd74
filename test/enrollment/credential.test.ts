import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { hashToken, makeCredential, qrText, readBasic, tokenMatches } from '../../enrollment/credential.ts'

const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`

describe('SEC-5: a credential', () => {
  test('is random, and may stand in a URL, on a command line, in a header', () => {
    const made = Array.from({ length: 100 }, makeCredential)
    expect(new Set(made.flatMap(({ id, token }) => [id, token])).size).toBe(200)
    expect(made.filter(({ id, token }) => !/^[0-9a-f]{12}:[0-9a-f]{32}$/.test(`${id}:${token}`))).toEqual([])
  })

  test('matches its own hash and no other', () => {
    const { token } = makeCredential()
    expect(tokenMatches(token, hashToken(token))).toBe(true)
    expect(tokenMatches(makeCredential().token, hashToken(token))).toBe(false)
    expect(tokenMatches('', hashToken(token))).toBe(false)
  })

  test('as a QR code names the gateway, the root, id, token and end', () => {
    const text = qrText({
      host: 'gateway.home.arpa:9443',
      rootSha256: Buffer.alloc(32, 0xff),
      credential: { id: 'cafe', token: 'beef' },
      expires: Date.UTC(2027, 0) + 999,
    })
    expect(text).toBe(`HGW1:gateway.home.arpa:9443;${'_'.repeat(42)}8;cafe;beef;1798761600`)
  })
})

describe('Basic authentication (RFC 7617)', () => {
  test.each<[string, string | undefined, { id: string; token: string } | null]>([
    ['id and token', basic('cafe:beef'), { id: 'cafe', token: 'beef' }],
    ['in another case', basic('cafe:beef').replace('Basic', 'bAsIc'), { id: 'cafe', token: 'beef' }],
    ['with spaces', `${basic('cafe:beef').replace(' ', '   ')}  `, { id: 'cafe', token: 'beef' }],
    ['a token with colons', basic('cafe:be:ef'), { id: 'cafe', token: 'be:ef' }],
    ['an empty token', basic('cafe:'), { id: 'cafe', token: '' }],
    ['an empty id', basic(':beef'), { id: '', token: 'beef' }],
    ['letters beyond ASCII', basic('küche:schlüssel'), { id: 'küche', token: 'schlüssel' }],
    ['no colon', basic('cafe'), null],
    ['no header', undefined, null],
    ['an empty header', '', null],
    ['no credential', 'Basic ', null],
    ['another scheme', 'Bearer Y2FmZTpiZWVm', null],
    ['no base64', 'Basic cafe:beef', null],
    ['two of them', `${basic('cafe:beef')}, ${basic('cafe:beef')}`, null],
  ])('%s', (_, header, credential) => {
    expect(readBasic(header)).toEqual(credential)
  })

  test('any header ends in a credential or null, and what was written is read', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary' }),
        fc.string(),
        fc.string({ unit: 'grapheme' }),
        (header, id, token) => {
          readBasic(header)
          readBasic(`Basic ${header}`)
          const plain = id.replaceAll(':', '')
          expect(readBasic(basic(`${plain}:${token}`))).toEqual({ id: plain, token })
        },
      ),
      { numRuns: 2000 },
    )
  })
})
