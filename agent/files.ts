import {
  closeSync,
  existsSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { rfc3339 } from '../base/clock.ts'
import { reasonOf } from '../base/errors.ts'
import { pem, readPem } from '../x509/certificate.ts'
import { AgentError } from './errors.ts'
import { type CertificateFacts, factsOf } from './facts.ts'
import { type DeviceKey, makeKey, readKey } from './key.ts'

/** What belongs together on disk: a certificate, its key, what it chains through and what is trusted. */
export interface CertificateSet {
  /** `https://host:port` to renew at. */
  gateway: string
  key: DeviceKey
  leaf: Buffer
  chain: readonly Buffer[]
  /** The root that the leaf chains to; one of `roots`. */
  root: Buffer
  /** Trust anchors: one, or two in a rollover. */
  roots: readonly Buffer[]
  /** Whether the hook has still to run for this certificate. */
  owesHook: boolean
}

/** A set as read back, with what its certificate says. */
export interface StoredSet extends CertificateSet {
  facts: CertificateFacts
  /** The directory that holds exactly this set. */
  generation: string
}

/** Names in the directory that stay the same for ever; each a link through `.current`. */
const FILES = ['cert.pem', 'chain.pem', 'fullchain.pem', 'key.pem', 'root.pem', 'hearth.json'] as const

const GENERATIONS = '.generations'
const CURRENT = '.current'
const PENDING_KEY = 'pending-key.pem'
const HOOK_OWED = 'hook-owed'

const PUBLIC = 0o644
const SECRET = 0o600

/**
 * Writes a set so that the directory holds a whole one at every instant, even when power fails:
 *
 * ```
 * DIR/.generations/<serial>/{cert,chain,fullchain,key,root}.pem, hearth.json    written and synced first
 * DIR/.current -> .generations/<serial>                                         swapped in one rename
 * DIR/cert.pem -> .current/cert.pem, ...                                        never change
 * ```
 *
 * A reader that opens certificate and key while they are swapped may still get one of each; where
 * that matters, resolve `.current` once and open both below it. The generation before stays.
 *
 * @throws {AgentError} `FILES_FAILED`; the set before is then still the current one.
 */
export function writeSet(directory: string, set: CertificateSet): void {
  guarded(directory, () => {
    makeDirectory(join(directory, GENERATIONS))
    const generation = writeGeneration(directory, set)
    for (const file of FILES) {
      if (!exists(join(directory, file))) symlinkSync(join(CURRENT, file), join(directory, file))
    }
    const before = currentGeneration(directory)
    swapCurrent(directory, generation)
    rmSync(join(directory, PENDING_KEY), { force: true })
    for (const name of readdirSync(join(directory, GENERATIONS))) {
      if (name === generation || name === before) continue
      rmSync(join(directory, GENERATIONS, name), { recursive: true, force: true })
    }
  })
}

/** Writes and syncs a generation under a name of its own, and only then gives it its final one. */
function writeGeneration(directory: string, set: CertificateSet): string {
  const generations = join(directory, GENERATIONS)
  const staging = join(generations, 'unfinished')
  rmSync(staging, { recursive: true, force: true })
  mkdirSync(staging)

  const facts = factsOf(set)
  const certificates = (...ders: readonly Buffer[]) => ders.map((der) => pem(der, 'CERTIFICATE')).join('')
  const contents: Record<(typeof FILES)[number], string> = {
    'cert.pem': certificates(set.leaf),
    'chain.pem': certificates(...set.chain),
    'fullchain.pem': certificates(set.leaf, ...set.chain),
    'key.pem': set.key.pem,
    'root.pem': certificates(set.root, ...set.roots.filter((root) => !root.equals(set.root))),
    'hearth.json': `${JSON.stringify(
      {
        ...facts,
        notBefore: rfc3339(facts.notBefore),
        notAfter: rfc3339(facts.notAfter),
        renewAt: rfc3339(facts.renewAt),
      },
      null,
      2,
    )}\n`,
  }
  for (const file of FILES) {
    writeSynced(join(staging, file), contents[file], file === 'key.pem' ? SECRET : PUBLIC)
  }
  if (set.owesHook) writeSynced(join(staging, HOOK_OWED), '', PUBLIC)
  syncDirectory(staging)

  // The same certificate may come twice, when an answer was lost or the gateway's address changed.
  let name = facts.serial
  for (let copy = 2; existsSync(join(generations, name)); copy++) name = `${facts.serial}.${copy}`
  renameSync(staging, join(generations, name))
  syncDirectory(generations)
  return name
}

function swapCurrent(directory: string, generation: string): void {
  const next = join(directory, `${CURRENT}.next`)
  rmSync(next, { force: true })
  symlinkSync(join(GENERATIONS, generation), next)
  syncDirectory(directory)
  renameSync(next, join(directory, CURRENT))
  syncDirectory(directory)
}

function currentGeneration(directory: string): string | null {
  const current = join(directory, CURRENT)
  return exists(current) ? basename(readlinkSync(current)) : null
}

/**
 * Reads the current set, all of one generation.
 *
 * @throws {AgentError} `NOT_ENROLLED` if there is none; `FILES_FAILED` if it cannot be read.
 */
export function readSet(directory: string): StoredSet {
  if (!existsSync(join(directory, CURRENT))) {
    throw new AgentError(
      'NOT_ENROLLED',
      `there is no certificate of a Hearth gateway in ${directory}; get one first with "hearth enroll --out ${directory}"`,
    )
  }
  return guarded(directory, () => {
    const generation = realpathSync(join(directory, CURRENT))
    const read = (file: (typeof FILES)[number]) => readFileSync(join(generation, file), 'utf8')
    const [leaf, ...chain] = readPem(read('fullchain.pem'), 'CERTIFICATE')
    const roots = readPem(read('root.pem'), 'CERTIFICATE')
    const [root] = roots
    const gateway = gatewayIn(read('hearth.json'))
    if (leaf === undefined || root === undefined || gateway === null) {
      throw new Error('a file of the certificate is damaged; enroll again')
    }
    return {
      gateway,
      key: readKey(read('key.pem')),
      leaf,
      chain,
      root,
      roots,
      owesHook: existsSync(join(generation, HOOK_OWED)),
      facts: factsOf({ gateway, leaf, root }),
      generation,
    }
  })
}

/** All else in `hearth.json` is for others to read: the certificate itself says it. */
function gatewayIn(json: string): string | null {
  const { gateway } = JSON.parse(json) as { gateway?: unknown }
  return typeof gateway === 'string' && URL.canParse(gateway) ? gateway : null
}

/** Notes that the hook has run for this generation. */
export function settleHook(set: StoredSet): void {
  guarded(set.generation, () => {
    rmSync(join(set.generation, HOOK_OWED), { force: true })
    syncDirectory(set.generation)
  })
}

/**
 * The key of the enrollment under way: that of an earlier run whose answer was lost, or a fresh one.
 *
 * It is on disk before anything is sent, because the gateway gives the same certificate to the same
 * token and key again, and to no other key.
 *
 * @throws {AgentError} `FILES_FAILED`
 */
export function pendingKey(directory: string): DeviceKey {
  return guarded(directory, () => {
    const path = join(directory, PENDING_KEY)
    if (existsSync(path)) return readKey(readFileSync(path, 'utf8'))
    const key = makeKey()
    makeDirectory(directory)
    const unfinished = `${path}.unfinished`
    rmSync(unfinished, { force: true })
    writeSynced(unfinished, key.pem, SECRET)
    renameSync(unfinished, path)
    syncDirectory(directory)
    return key
  })
}

/**
 * Refuses a directory with files that the agent would have to replace and did not write.
 *
 * @throws {AgentError} `FILES_FAILED`
 */
export function refuseForeignFiles(directory: string): void {
  const ours = (path: string, file: string) =>
    lstatSync(path).isSymbolicLink() && readlinkSync(path) === join(CURRENT, file)
  const foreign = guarded(directory, () =>
    FILES.filter((file) => exists(join(directory, file)) && !ours(join(directory, file), file)),
  )
  if (foreign.length === 0) return
  throw new AgentError(
    'FILES_FAILED',
    `${directory} already holds ${foreign.join(', ')} from elsewhere; move them away or choose another directory`,
  )
}

/** Whether there is anything of this name, also a link that leads nowhere. */
function exists(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined
}

function writeSynced(path: string, contents: string, mode: number): void {
  const file = openSync(path, 'wx', mode)
  try {
    writeFileSync(file, contents)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}

/** Makes what is missing of a directory's path, and syncs the parent of each directory it makes. */
function makeDirectory(path: string): void {
  if (existsSync(path)) return
  const parent = dirname(resolve(path))
  makeDirectory(parent)
  mkdirSync(path)
  syncDirectory(parent)
}

/** Entries of a directory survive a power cut only once the directory itself is synced. */
function syncDirectory(path: string): void {
  const directory = openSync(path, 'r')
  try {
    fsyncSync(directory)
  } finally {
    closeSync(directory)
  }
}

function guarded<T>(directory: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    throw new AgentError('FILES_FAILED', `cannot work in ${directory}: ${reasonOf(error)}`, { cause: error })
  }
}
