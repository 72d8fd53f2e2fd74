import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { TestGateway } from './support/gateway.ts'
import { run } from './support/run.ts'

/**
 * The documentation is run: every `sh` block in order, one file after another, against a gateway on the
 * default ports; every `yaml` block is a configuration that must be good. What cannot be run here
 * (a browser's window, Docker) stands in `console` blocks.
 */

const root = new URL('..', import.meta.url).pathname
const FILES = [
  'README.md',
  ...readdirSync(join(root, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
]

function blocks(file: string, language: string): string[] {
  const text = readFileSync(join(root, file), 'utf8')
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\``, 'gm'))].map(
    (match) => match[1]!,
  )
}

const SCRIPTS = FILES.flatMap((file) =>
  blocks(file, 'sh').map((script, index) => ({ file, index: index + 1, script })),
)
const CONFIGS = FILES.flatMap((file) =>
  blocks(file, 'yaml').map((yaml, index) => ({ file, index: index + 1, yaml })),
)

describe('commands', () => {
  let gateway: TestGateway
  let home: string
  /** Variables that one block exports and the next uses. */
  let exported = ''

  beforeAll(async () => {
    gateway = new TestGateway()
    writeFileSync(
      gateway.configFile,
      'ca: { keyFile: ./config/sealing.key }\ndns: { upstreams: ["udp://127.0.0.1:9"] }\n',
    )
    await gateway.start()
    home = gateway.path('home')
    mkdirSync(home)
    symlinkSync(join(root, 'bin'), gateway.path('bin'))
  })

  afterAll(() => gateway?.dispose())

  test.each(SCRIPTS)('$file, block $index', async ({ script }) => {
    const { code, output } = await run('bash', ['-euo', 'pipefail', '-c', `${exported}\n${script}`], {
      cwd: gateway.dir,
      env: { HOME: home },
    })
    exported += script
      .split('\n')
      .filter((line) => /^([A-Z_]+=|export )/.test(line))
      .map((line) => `${line}\n`)
      .join('')
    expect({ code, output }).toEqual({ code: 0, output: expect.any(String) })
  })
})

describe('configurations', () => {
  const dir = mkdtempSync(join(tmpdir(), 'hearth-docs-'))
  afterAll(() => rmSync(dir, { recursive: true }))

  test.each(CONFIGS)('$file, block $index', async ({ yaml }) => {
    const file = join(dir, 'hearth.yaml')
    writeFileSync(file, yaml)
    const { code, output } = await run(join(root, 'bin/hearth'), ['config', 'check', file])
    expect({ code, output }).toEqual({ code: 0, output: `${file}: good\n` })
  })
})

describe('links', () => {
  test.each(FILES)('%s points to files that exist', (file) => {
    const text = readFileSync(join(root, file), 'utf8')
    const targets = [...text.matchAll(/\]\((?!https?:)([^)#]+)/g)].map((match) =>
      join(root, dirname(file), match[1]!),
    )
    const missing = targets.filter((target) => {
      try {
        readdirSync(target)
      } catch (error) {
        return (error as NodeJS.ErrnoException).code === 'ENOENT'
      }
      return false
    })
    expect(missing).toEqual([])
  })
})
