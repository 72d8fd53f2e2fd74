import { randomBytes } from 'node:crypto'
import { expect, test } from '@jest/globals'
import { parseQr } from '../../agent/qr.ts'

const root = randomBytes(32)
const token = randomBytes(16).toString('base64url')

test('a QR code gives what an enrollment needs', () => {
  const text = `HGW1:gateway.home.arpa:9443;${root.toString('base64url')};c01;${token};1795513623`
  expect(parseQr(` ${text}\n`)).toEqual({
    gateway: 'https://gateway.home.arpa:9443',
    fingerprint: root.toString('hex'),
    token: `c01:${token}`,
    expires: 1_795_513_623_000,
  })
})

test('an IPv6 address keeps its brackets', () => {
  const text = `HGW1:[fd00::1]:8444;${root.toString('base64url')};c01;${token};1795513623`
  expect(parseQr(text).gateway).toBe('https://[fd00::1]:8444')
})

test.each([
  '',
  'https://example.org/',
  `HGW2:gateway:9443;${root.toString('base64url')};c01;${token};1795513623`,
  `HGW1:gateway:9443;${root.toString('base64url').slice(1)};c01;${token};1795513623`,
  `HGW1:gateway:9443;${root.toString('base64url')};c01;short;1795513623`,
  `HGW1:user@gateway:9443;${root.toString('base64url')};c01;${token};1795513623`,
  `HGW1:gateway:9443;${root.toString('base64url')};c01;${token};soon`,
  `HGW1:gateway:9443;${root.toString('base64url')};c01;${token};1795513623;more`,
])('anything else is refused without repeating it: %s', (text) => {
  expect(() => parseQr(text)).toThrow(
    expect.objectContaining({ code: 'INPUT_INVALID', message: expect.not.stringContaining(token) }),
  )
})
