/**
 * Run as a process of its own: writes certificate sets, and keeps a copy of the directory as it is
 * before each file step, which is what a kill -9 at that moment leaves. Prints the steps.
 *
 * usage: fileSteps.ts DIR SETS COPIES     SETS: JSON file with the sets; COPIES: folder for 1, 2, ...
 */
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { join, relative } from 'node:path'
import { pendingKey, writeSet } from '../../agent/files.ts'
import { readKey } from '../../agent/key.ts'

const [directory = '', sets = '', copies = ''] = process.argv.slice(2)

const { first, second } = JSON.parse(fs.readFileSync(sets, 'utf8'), (_, value) =>
  value?.type === 'Buffer' ? Buffer.from(value.data) : value,
)

const steps: string[] = []
const paths = new Map<number, string>()
const short = (path: unknown) => relative(directory, String(path)) || '.'

function step(what: string): void {
  steps.push(what)
  const copy = join(copies, String(steps.length))
  if (fs.existsSync(directory)) execFileSync('cp', ['-a', directory, copy])
}

const { openSync, fsyncSync, renameSync, symlinkSync, mkdirSync, rmSync } = fs
Object.assign(fs, {
  openSync(path: string, flags: string, mode?: number) {
    if (flags !== 'r') step(`write ${short(path)} ${mode?.toString(8)}`)
    const descriptor = openSync(path, flags, mode)
    paths.set(descriptor, short(path))
    return descriptor
  },
  fsyncSync(descriptor: number) {
    step(`sync ${paths.get(descriptor)}`)
    fsyncSync(descriptor)
  },
  renameSync(from: string, to: string) {
    step(`rename ${short(from)} ${short(to)}`)
    renameSync(from, to)
  },
  symlinkSync(target: string, path: string) {
    step(`link ${short(path)} to ${target}`)
    symlinkSync(target, path)
  },
  mkdirSync(path: string) {
    step(`mkdir ${short(path)}`)
    mkdirSync(path)
  },
  rmSync(path: string, options: fs.RmOptions) {
    if (fs.lstatSync(path, { throwIfNoEntry: false }) !== undefined) step(`remove ${short(path)}`)
    rmSync(path, options)
  },
})
syncBuiltinESMExports()

if (first !== undefined) {
  pendingKey(directory)
  writeSet(directory, { ...first, key: readKey(first.key.pem) })
}
if (second !== undefined) writeSet(directory, { ...second, key: readKey(second.key.pem) })
process.stdout.write(`${steps.join('\n')}\n`)
