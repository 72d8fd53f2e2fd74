import type { Config, LoadedConfig } from './config.ts'
import { callGateway } from './controlClient.ts'

/** What every command has at hand: its configuration, the running gateway, and the way to print. */
export class Cli {
  readonly #options: () => { config?: string; json?: boolean }
  exitCode = 0

  constructor(options: () => { config?: string; json?: boolean }) {
    this.#options = options
  }

  get json(): boolean {
    return this.#options().json ?? false
  }

  /** @throws {ConfigError} */
  async loadConfig(file: string | undefined = this.#options().config): Promise<LoadedConfig> {
    const { loadConfig } = await import('./config.ts')
    return loadConfig(file)
  }

  async config(): Promise<Config> {
    return (await this.loadConfig()).config
  }

  /** Has the running gateway carry out one operation. @throws {ControlError} */
  async call<T>(operation: string, params: object = {}): Promise<T> {
    return (await callGateway((await this.config()).dataDir, operation, params)) as T
  }

  /** With `--json` the value, otherwise the text for a person. */
  print(value: unknown, text: string | (() => string)): void {
    const shown = this.json
      ? JSON.stringify(value, null, 2)
      : printable(typeof text === 'string' ? text : text())
    this.write(shown.endsWith('\n') ? shown : `${shown}\n`)
  }

  /** Standard output, octet for octet. */
  write(output: string | Buffer): void {
    process.stdout.write(output)
  }

  /** For what is not the result: progress, warnings. */
  note(text: string): void {
    process.stderr.write(`${printable(text)}\n`)
  }

  printFailure(code: string, message: string): void {
    if (this.json) this.write(`${JSON.stringify({ error: { code, message } }, null, 2)}\n`)
    process.stderr.write(`hearth: ${printable(message)}\n`)
  }
}

/** Without control characters, which could come from a request and would command a terminal. */
function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: finding them is the purpose
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, '\ufffd')
}

/** Rows as aligned columns under their headings. */
export function table(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = headings.map((heading, column) =>
    Math.max(heading.length, ...rows.map((row) => (row[column] ?? '').length)),
  )
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join('  ')
      .trimEnd()
  return [line(headings), ...rows.map(line)].join('\n')
}

/** Facts as `name  value` lines. */
export function facts(pairs: readonly (readonly [string, string])[]): string {
  const width = Math.max(...pairs.map(([name]) => name.length))
  return pairs.map(([name, value]) => `${name.padEnd(width)}  ${value}`).join('\n')
}

/** A fingerprint as people compare it: four digits at a time. */
export function grouped(hex: string): string {
  return hex.match(/.{1,4}/g)?.join(' ') ?? hex
}
