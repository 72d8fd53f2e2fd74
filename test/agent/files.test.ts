import { execFileSync } from 'node:child_process'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { type CertificateSet, pendingKey, readSet, writeSet } from '../../agent/files.ts'
import { makeKey } from '../../agent/key.ts'
import { serialText } from '../../x509/certificate.ts'
import { makeCsr } from '../../x509/csr.ts'
import { TestCa } from './testCa.ts'

let folder: string
let before: CertificateSet
let after: CertificateSet
let third: CertificateSet

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'hearth-agent-'))
  const ca = new TestCa(folder, 'Home')
  const make = (): CertificateSet => {
    const key = makeKey()
    const leaf = ca.certify(makeCsr(key, { dns: [], ip: [] }), ['nas.home.arpa'])
    const roots = [ca.root.der]
    return {
      gateway: 'https://gateway:9443',
      key,
      leaf,
      chain: [ca.issuer.der],
      root: ca.root.der,
      roots,
      owesHook: false,
    }
  }
  before = make()
  after = make()
  third = { ...make(), owesHook: true }
})
afterAll(() => rmSync(folder, { recursive: true }))

interface Sets {
  first?: CertificateSet
  second?: CertificateSet
}

/** Runs the writer in a process of its own: the steps it took, and for each a directory as a kill before it leaves it. */
function writeInSteps(out: string, sets: Sets): { steps: string[]; killed: string[] } {
  const sources = `${out}.json`
  const copies = `${out}.copies`
  writeFileSync(sources, JSON.stringify(sets))
  mkdirSync(copies)
  const program = join(import.meta.dirname, 'fileSteps.ts')
  const printed = execFileSync(process.execPath, [program, out, sources, copies], { encoding: 'utf8' })
  const steps = printed.trim().split('\n')
  return { steps, killed: steps.map((_, index) => join(copies, String(index + 1))) }
}

const newDirectory = () => join(mkdtempSync(join(folder, 'device-')), 'tls')
const serial = (set: CertificateSet) =>
  serialText(Buffer.from(new X509Certificate(set.leaf).serialNumber, 'hex'))

/** What a program that serves the certificate would find: the serial of a whole set, or null for nothing at all. */
function found(out: string): string | null {
  if (!existsSync(join(out, 'cert.pem'))) {
    for (const file of ['key.pem', 'chain.pem', 'fullchain.pem', 'root.pem', 'hearth.json'])
      expect(existsSync(join(out, file))).toBe(false)
    return null
  }
  const read = (file: string) => readFileSync(join(out, file), 'utf8')
  const certificate = new X509Certificate(read('cert.pem'))
  expect(certificate.checkPrivateKey(createPrivateKey(read('key.pem')))).toBe(true)
  expect(statSync(join(out, 'key.pem')).mode & 0o777).toBe(0o600)
  expect(read('fullchain.pem')).toBe(read('cert.pem') + read('chain.pem'))
  expect(JSON.parse(read('hearth.json')).serial).toBe(certificate.serialNumber)
  expect(new X509Certificate(read('chain.pem')).verify(new X509Certificate(read('root.pem')).publicKey)).toBe(
    true,
  )
  return certificate.serialNumber
}

test('the steps: everything is synced before it gets its name, and the swap is one rename', () => {
  const { steps } = writeInSteps(newDirectory(), { first: before })
  expect(`\n${steps.join('\n').replaceAll(serial(before), 'SERIAL')}\n`).toBe(`
mkdir .
sync ..
write pending-key.pem.unfinished 600
sync pending-key.pem.unfinished
rename pending-key.pem.unfinished pending-key.pem
sync .
mkdir .generations
sync .
mkdir .generations/unfinished
write .generations/unfinished/cert.pem 644
sync .generations/unfinished/cert.pem
write .generations/unfinished/chain.pem 644
sync .generations/unfinished/chain.pem
write .generations/unfinished/fullchain.pem 644
sync .generations/unfinished/fullchain.pem
write .generations/unfinished/key.pem 600
sync .generations/unfinished/key.pem
write .generations/unfinished/root.pem 644
sync .generations/unfinished/root.pem
write .generations/unfinished/hearth.json 644
sync .generations/unfinished/hearth.json
sync .generations/unfinished
rename .generations/unfinished .generations/SERIAL
sync .generations
link cert.pem to .current/cert.pem
link chain.pem to .current/chain.pem
link fullchain.pem to .current/fullchain.pem
link key.pem to .current/key.pem
link root.pem to .current/root.pem
link hearth.json to .current/hearth.json
link .current.next to .generations/SERIAL
sync .
rename .current.next .current
sync .
remove pending-key.pem
`)
})

describe('killed before any step', () => {
  test('of the first enrollment: nothing or all of it is there, and the next run completes it', () => {
    const seen = new Set<string | null>()
    for (const out of writeInSteps(newDirectory(), { first: before }).killed) {
      seen.add(found(out))
      pendingKey(out)
      writeSet(out, before)
      expect(found(out)).toBe(serial(before))
      expect(readdirSync(out)).not.toContain('pending-key.pem')
    }
    expect(seen).toEqual(new Set([null, serial(before)]))
  })

  test('of a renewal: the old or the new set is there, never one of each', () => {
    const enrolled = newDirectory()
    writeSet(enrolled, third)
    writeSet(enrolled, before)
    const seen = new Set<string | null>()
    for (const out of writeInSteps(enrolled, { second: after }).killed) {
      seen.add(found(out))
      writeSet(out, third)
      expect(found(out)).toBe(serial(third))
      expect(readSet(out).owesHook).toBe(true)
      expect(readdirSync(join(out, '.generations'))).toHaveLength(2)
    }
    expect(seen).toEqual(new Set([serial(before), serial(after)]))
  })
})

test('damaged files are told apart from missing ones', () => {
  const out = newDirectory()
  expect(() => readSet(out)).toThrow(expect.objectContaining({ code: 'NOT_ENROLLED' }))
  writeSet(out, before)
  for (const [file, text] of [
    ['hearth.json', '{"gateway": 7}'],
    ['hearth.json', 'null'],
    ['fullchain.pem', ''],
    ['key.pem', 'none'],
  ] as const) {
    const good = readFileSync(join(out, file))
    writeFileSync(join(out, file), text)
    expect(() => readSet(out)).toThrow(expect.objectContaining({ code: 'FILES_FAILED' }))
    writeFileSync(join(out, file), good)
  }
})
