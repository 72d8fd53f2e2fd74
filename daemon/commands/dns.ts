import { readFileSync } from 'node:fs'
import { type Command, InvalidArgumentError, Option } from 'commander'
import { HearthError, reasonOf } from '../../base/errors.ts'
import { canonicalAddress } from '../../base/ip.ts'
import type { LoggedQuery } from '../../dns/queryLog.ts'
import { type Cli, facts, table } from '../cli.ts'
import { readTime } from './audit.ts'
import { addDnsKeyCommands } from './dnsKey.ts'

interface KeptRecord {
  owner: string
  type: string
  ttl: number
  data: string
}

interface ListedRecord extends KeptRecord {
  source: 'hand' | 'update' | 'lease'
}

interface LogOptions {
  since?: number
  client?: string
  name?: string
  limit: number
  clear?: boolean
}

class FileError extends HearthError<'FILE_UNREADABLE'> {}

export function addDnsCommands(program: Command, cli: Cli): void {
  const dns = program.command('dns').description("records in the home's zone")

  dns
    .command('list')
    .description('the records added by hand, by updates and from leases')
    .action(async () => {
      const records = await cli.call<ListedRecord[]>('dns.list')
      const others = records.some(({ source }) => source !== 'hand')
      cli.print(records, () =>
        table(
          ['NAME', 'TTL', 'TYPE', ...(others ? ['FROM'] : []), 'DATA'],
          records.map(({ owner, ttl, type, source, data }) => [
            owner,
            String(ttl),
            type,
            ...(others ? [source] : []),
            data,
          ]),
        ),
      )
    })

  dns
    .command('add')
    .description('add a record')
    .argument('<name>', 'such as nas, *.apps, nas.home.arpa, or @ for the zone itself')
    .argument('<type>', 'A, AAAA, CNAME, TXT, SRV, PTR, ...')
    .argument('<data...>', 'as in a master file')
    .option('--ttl <seconds>', 'how long it may be kept', wholeNumber)
    .action(async (owner: string, type: string, data: string[], { ttl }: { ttl?: number }) => {
      const added = await cli.call<KeptRecord>('dns.add', { owner, type, data: recordData(type, data), ttl })
      cli.print(added, `${added.owner}. ${added.ttl} ${added.type} ${added.data}`)
    })

  dns
    .command('remove')
    .description("remove a name's records, those of one type, or one")
    .argument('<name>')
    .argument('[type]')
    .argument('[data...]')
    .action(async (owner: string, type: string | undefined, data: string[]) => {
      const { removed } = await cli.call<{ removed: KeptRecord[] }>('dns.remove', {
        owner,
        type,
        data: type !== undefined && data.length > 0 ? recordData(type, data) : undefined,
      })
      cli.print({ removed }, `removed: ${removed.length}`)
    })

  dns
    .command('import')
    .description('add the records of a master file: all of them, or none')
    .argument('<file>')
    .action(async (path: string) => {
      const result = await cli.call<{ imported: number }>('dns.import', { file: readMasterFile(path) })
      cli.print(result, `imported: ${result.imported} records`)
    })

  dns
    .command('export')
    .description('the zone as a master file, to standard output')
    .action(async () => {
      const { file } = await cli.call<{ file: string }>('dns.export')
      if (cli.json) cli.print({ file }, '')
      else cli.write(file)
    })

  dns
    .command('log')
    .description('who asked for what, the newest last')
    .option('--since <time>', 'a date (2026-11-24, 2026-11-24T08:00:00Z) or an age (90m, 24h, 7d)', readTime)
    .option('--client <address>', 'only what this client asked', readAddress)
    .option('--name <name>', 'only this name and those below it')
    .option('--limit <number>', 'no more lines than that', readLimit, 100)
    .addOption(new Option('--clear', 'remove the whole log').conflicts(['since', 'client', 'name', 'limit']))
    .action(async ({ clear, ...filter }: LogOptions) => {
      if (clear === true) {
        cli.print(await cli.call('dns.log.clear'), 'removed: the whole query log')
        return
      }
      const { enabled, queries } = await cli.call<{ enabled: boolean; queries: LoggedQuery[] }>(
        'dns.log',
        filter,
      )
      if (!enabled)
        cli.note('queries are not logged now; dns.queryLog.enabled: true in the configuration does it')
      cli.print(queries, () =>
        table(
          ['TIME', 'CLIENT', 'VIA', 'NAME', 'TYPE', 'ANSWER', 'FROM', 'MS'],
          queries.map(({ at, client, transport, name, type, rcode, source, upstream, ms }) => [
            at,
            client,
            transport,
            name,
            type,
            rcode,
            [source, upstream].filter((part) => part !== undefined).join(', '),
            String(ms),
          ]),
        ),
      )
    })

  addDnsKeyCommands(dns, cli)

  dns
    .command('query')
    .description('ask a question, and see who answered it')
    .argument('<name>')
    .argument('[type]', 'record type', 'A')
    .action(async (name: string, type: string) => {
      const answer = await cli.call<{
        name: string
        rcode: string
        source: string
        upstream?: string
        age?: number
        milliseconds: number
        answers: string[]
        reason?: string
      }>('dns.query', { name, type })
      cli.print(
        answer,
        () =>
          `${[...answer.answers, ''].join('\n')}${facts([
            ['Asked', `${answer.name} ${type}`],
            ['Answer', answer.reason === undefined ? answer.rcode : `${answer.rcode}: ${answer.reason}`],
            ['From', origin(answer)],
            ['Time', `${answer.milliseconds} ms`],
          ])}`,
      )
    })
}

/** `zone`; `forwarder, tls://9.9.9.9#dns.quad9.net`; `cache, stored 12 s ago`. */
function origin({ source, upstream, age }: { source: string; upstream?: string; age?: number }): string {
  const stored = age === undefined ? undefined : `stored ${age} s ago`
  return [source, upstream, stored].filter((part) => part !== undefined).join(', ')
}

/** Text that was one shell word with blanks in it is one string of the record. */
function recordData(type: string, words: string[]): string {
  if (type.toUpperCase() !== 'TXT') return words.join(' ')
  return words
    .map((word) =>
      /[\s;()]/.test(word) && !word.startsWith('"') ? `"${word.replace(/["\\]/g, '\\$&')}"` : word,
    )
    .join(' ')
}

function readMasterFile(path: string): string {
  try {
    return readFileSync(path === '-' ? 0 : path, 'utf8')
  } catch (error) {
    throw new FileError('FILE_UNREADABLE', `the file ${path} cannot be read: ${reasonOf(error)}`)
  }
}

function readAddress(text: string): string {
  const address = canonicalAddress(text)
  if (address === null) throw new InvalidArgumentError('write an IP address, such as 192.168.1.20')
  return address
}

function readLimit(text: string): number {
  if (!/^[1-9]\d{0,3}$|^10000$/.test(text)) throw new InvalidArgumentError('write a number up to 10000')
  return Number(text)
}

function wholeNumber(text: string): number {
  if (!/^\d{1,10}$/.test(text)) throw new InvalidArgumentError('write whole seconds, such as 300')
  return Number(text)
}
