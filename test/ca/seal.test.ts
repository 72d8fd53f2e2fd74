import {
  chmodSync,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { KeyStore } from '../../ca/keys.ts'
import { openSeal } from '../../ca/seal.ts'
import { tempDirs } from '../support/tempDir.ts'
import { TestHome } from '../support/testHome.ts'

const newDir = tempDirs()
const newSeal = () => openSeal(join(newDir(), 'sealing.key'), true)
const refusal = (code: string, message: RegExp) =>
  expect.objectContaining({ name: 'SealError', code, message: expect.stringMatching(message) })

describe('the key file', () => {
  test('is made once, for its owner only, in a directory of its own', () => {
    const dir = newDir()
    const path = join(dir, 'config/hearth/sealing.key')
    openSeal(path, true)
    const written = readFileSync(path, 'utf8')
    expect(written).toMatch(/^hearth-sealing-key-v1 [A-Za-z0-9+/]{43}=\n$/)
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(statSync(join(dir, 'config/hearth')).mode & 0o777).toBe(0o700)
    expect(readdirSync(join(dir, 'config/hearth'))).toEqual(['sealing.key'])
    openSeal(path, true)
    expect(readFileSync(path, 'utf8')).toBe(written)
  })

  test('that is missing is not made anew over keys that it opened', () => {
    const path = join(newDir(), 'sealing.key')
    expect(() => openSeal(path, false)).toThrow(refusal('SEALING_KEY_MISSING', /is missing\. Put it back/))
    expect(existsSync(path)).toBe(false)
  })

  test.each([0o640, 0o604, 0o660, 0o777])('that others may read is refused (mode %#o)', (mode) => {
    const path = join(newDir(), 'sealing.key')
    openSeal(path, true)
    chmodSync(path, mode)
    expect(() => openSeal(path, false)).toThrow(
      refusal(
        'SEALING_KEY_UNUSABLE',
        /may be read by others \(mode \d+\)\. Say: chmod 600 \/.*sealing\.key$/,
      ),
    )
  })

  test.each([
    ['is empty', ''],
    ['holds something else', 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA'],
    ['is cut short', 'hearth-sealing-key-v1 AAAAAAAA'],
    ['is of a version that is not known', `hearth-sealing-key-v2 ${'A'.repeat(43)}=`],
  ])('that %s is refused', (_, content) => {
    const path = join(newDir(), 'sealing.key')
    writeFileSync(path, content, { mode: 0o600 })
    expect(() => openSeal(path, false)).toThrow(refusal('SEALING_KEY_UNUSABLE', /is damaged/))
  })
})

describe('a sealed secret', () => {
  test('comes back, and no two seals of it are alike', () => {
    const seal = newSeal()
    fc.assert(
      fc.property(fc.string(), fc.uint8Array({ maxLength: 400 }), (id, secret) => {
        const [one, other] = [seal.close(id, secret), seal.close(id, secret)]
        expect(one).not.toEqual(other)
        expect(seal.open(id, one)).toEqual(Buffer.from(secret))
      }),
    )
  })

  test('opens with no other key, for no other id, and not after any octet was altered', () => {
    const seal = newSeal()
    const sealed = seal.close('4A01', Buffer.from('a secret'))
    const wrong = refusal('SEALING_KEY_WRONG', /does not open the key .* Put the key file back/)
    expect(() => newSeal().open('4A01', sealed)).toThrow(wrong)
    expect(() => seal.open('4A02', sealed)).toThrow(wrong)
    for (let at = 0; at < sealed.length; at++) {
      expect(() =>
        seal.open(
          '4A01',
          sealed.map((octet, index) => (index === at ? octet ^ 1 : octet)),
        ),
      ).toThrow(wrong)
      expect(() => seal.open('4A01', sealed.subarray(0, at))).toThrow(wrong)
    }
  })
})

describe('the CA behind the seal', () => {
  test('does not start with the key file of another gateway, or without one', async () => {
    const dir = newDir()
    const keyFile = join(dir, 'config/sealing.key')
    await (await TestHome.open(dir)).close()

    renameSync(keyFile, `${keyFile}.right`)
    await expect(TestHome.open(dir)).rejects.toMatchObject({ code: 'SEALING_KEY_MISSING' })
    openSeal(keyFile, true)
    await expect(TestHome.open(dir)).rejects.toMatchObject({
      code: 'SEALING_KEY_WRONG',
      message: expect.stringContaining(`${keyFile} does not open`),
    })
    renameSync(`${keyFile}.right`, keyFile)
    await (await TestHome.open(dir)).close()
  })

  test('does not take one key for another', async () => {
    const home = await TestHome.open(newDir())
    const [first, second] = await home.store.db.selectFrom('keys').selectAll().execute()
    await home.store.db
      .updateTable('keys')
      .set({ sealed: second!.sealed })
      .where('id', '=', first!.id)
      .execute()
    await expect(home.keys.open(home.store.db, first!.id)).rejects.toMatchObject({
      code: 'SEALING_KEY_WRONG',
    })
    await home.close()
  })

  test('never has a private key in clear in a file', async () => {
    const dir = newDir()
    const home = await TestHome.open(dir)
    const seal = openSeal(join(dir, 'config/sealing.key'), false)
    const rows = await home.store.db.selectFrom('keys').select(['id', 'purpose']).execute()
    expect(rows.map(({ purpose }) => purpose).toSorted()).toEqual(['issuer', 'root'])
    const secrets: Buffer[] = []
    for (const { id } of rows) {
      const { privateKey } = await new KeyStore({ seal, instanceId: 'test' }).open(home.store.db, id)
      secrets.push(privateKey.export({ type: 'pkcs8', format: 'der' }))
      secrets.push(Buffer.from(privateKey.export({ format: 'jwk' }).d!, 'base64url'))
    }
    const inFiles = () =>
      readdirSync(dir, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => readFileSync(join(entry.parentPath, entry.name)))
    const publicKey = home.hierarchy.root.spki
    expect(inFiles().some((content) => content.includes(publicKey))).toBe(true)
    expect(inFiles().some((content) => secrets.some((secret) => content.includes(secret)))).toBe(false)
    await home.close()
    expect(inFiles().some((content) => secrets.some((secret) => content.includes(secret)))).toBe(false)
  })
})
