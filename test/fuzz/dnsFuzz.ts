import fc from 'fast-check'
import type { Transport } from '../../dns/edns.ts'
import { RebindingGuard } from '../../dns/rebinding.ts'
import { scrub } from '../../dns/scrub.ts'
import type { DnsServer, DnsServerOptions } from '../../dns/server.ts'
import { planUpdate, UpdateError, type UpdateZone } from '../../dns/update.ts'
import { WireError } from '../../wire/errors.ts'
import { decodeMessage, encodeMessage, MAX_MESSAGE, type Message } from '../../wire/message.ts'
import { Name } from '../../wire/name.ts'
import { printRecord } from '../../wire/presentation.ts'
import { OPCODE, RCODE } from '../../wire/registry.ts'
import { HOUSEHOLD, query, startServer } from '../dns/harness.ts'
import { anyMessage } from '../wire/arbitraries.ts'
import { corpus } from '../wire/corpus.ts'
import { HOSTILE_MESSAGES } from './hostileMessages.ts'
import { Mutator, Random } from './mutator.ts'

/** Milliseconds. Nothing small takes as long, however busy the machine is. */
const HANG = 5000

/** How many small messages come between two of the largest size, each of which takes a thousand times as long. */
const LARGE_EVERY = 2000

const TRANSPORTS: readonly Transport[] = ['udp', 'tcp', 'tls', 'https']

/** A bit of everything that a question can meet. */
const ZONE: DnsServerOptions['zone'] = {
  ...HOUSEHOLD,
  records: [
    ['*.apps.home.arpa', 'A', '192.168.1.20'],
    ['www.home.arpa', 'CNAME', 'nas.home.arpa.'],
    ['a.home.arpa', 'CNAME', 'b.home.arpa.'],
    ['b.home.arpa', 'CNAME', 'a.home.arpa.'],
    ['out.home.arpa', 'CNAME', 'www.example.com.'],
    ['lab.home.arpa', 'NS', 'ns.lab.home.arpa.'],
    ['ns.lab.home.arpa', 'A', '192.168.1.77'],
    ['_ipp._tcp.home.arpa', 'PTR', '2nd\\032Floor,\\032NW\\.._ipp._tcp.home.arpa.'],
    ['home.arpa', 'MX', '10 nas.home.arpa.'],
    ['nas.home.arpa', 'HTTPS', '1 . alpn=h2'],
    ...Array.from({ length: 8 }, (_, index) => [
      'big.home.arpa',
      'TXT',
      `"${String(index).padEnd(250, 'x')}"`,
    ]),
  ].map(([owner, type, data]) => ({ owner: owner!, type: type!, ttl: 300, data: data! })),
}

const UPDATE_ZONE: UpdateZone = {
  apex: Name.parse('home.arpa'),
  made: () => [],
  kept: () => [],
  refusal: () => null,
}

/** Queries that have answers, until they are damaged. */
const sensibleQuery: fc.Arbitrary<Message> = fc
  .record({
    name: fc.oneof(
      fc.constantFrom(...new Set(ZONE.records.map(({ owner }) => owner))),
      fc.constantFrom('nas.home.arpa', 'x.apps.home.arpa', 'x.lab.home.arpa', 'nope.home.arpa', 'localhost'),
      fc.constantFrom(
        '20.1.168.192.in-addr.arpa',
        'www.example.com',
        'printer',
        '_dns.resolver.arpa',
        'local',
      ),
    ),
    type: fc.constantFrom(
      'A',
      'AAAA',
      'ANY',
      'CNAME',
      'HTTPS',
      'MX',
      'NS',
      'PTR',
      'SOA',
      'TXT',
      'AXFR',
      'IXFR',
    ),
    rd: fc.boolean(),
    edns: fc.option(fc.record({ udpSize: fc.nat(4096), dnssecOk: fc.boolean() })),
  })
  .map(({ name, type, rd, edns }) =>
    query(name, type, { rd, edns: edns && { ...edns, version: 0, options: [] } }),
  )

/** What damaged messages came to, and which of them took longest. */
export interface FuzzResult {
  outcomes: Record<string, number>
  slowest: { milliseconds: number; octets: Buffer }
}

/**
 * Sends damaged messages through everything that reads what strangers send: the codec, the text of records,
 * what is believed of upstreams, what updates would do, and the whole server.
 *
 * @throws {Error} that names seed, number and first octets of the first message that was handled wrongly.
 */
export async function fuzzDns(options: {
  seed: number
  packets: number
  onProgress?: (done: number, result: FuzzResult) => unknown
}): Promise<FuzzResult> {
  const { seed, packets } = options
  const random = new Random(seed)
  const generated = fc.sample(fc.oneof(anyMessage, sensibleQuery), { seed, numRuns: 600 })
  const whole = [...corpus.map(({ octets }) => octets), ...generated.map((message) => encodeMessage(message))]
  const small = new Mutator(random, whole)
  const large = new Mutator(random, HOSTILE_MESSAGES)
  const result: FuzzResult = { outcomes: {}, slowest: { milliseconds: 0, octets: Buffer.alloc(0) } }
  const server = await startServer({ zone: ZONE })
  try {
    for (let packet = 0; packet < packets; packet += 1) {
      const octets = packet % LARGE_EVERY === 0 ? large.next().subarray(0, MAX_MESSAGE) : small.next()
      const start = performance.now()
      try {
        const message = checkCodec(octets)
        if (message !== null) checkReaders(message)
        const outcome = await checkAnswer(server, octets, message, random.of(TRANSPORTS))
        result.outcomes[outcome] = (result.outcomes[outcome] ?? 0) + 1
      } catch (cause) {
        throw new Error(`packet ${packet} of seed ${seed} is handled wrongly: ${startOf(octets)}`, {
          cause,
        })
      }
      const milliseconds = performance.now() - start
      if (milliseconds > result.slowest.milliseconds) result.slowest = { milliseconds, octets }
      if (milliseconds > HANG) {
        throw new Error(`packet ${packet} of seed ${seed} took ${milliseconds} ms: ${startOf(octets)}`)
      }
      if (packet % 10_000 === 9999) options.onProgress?.(packet + 1, result)
    }
  } finally {
    await server.close()
  }
  return result
}

/** What decodes encodes again, into what decodes to the same. Null for a `WireError`; all else is thrown. */
function checkCodec(octets: Buffer): Message | null {
  const message = unlessRefused(() => decodeMessage(octets))
  if (message === null) return null
  // Questions whose names were compressed as only an attacker would can need more room than there is.
  const again = unlessRefused(() => encodeMessage(message))
  const isStable = again === null || encodeMessage(decodeMessage(again)).equals(again)
  demand(isStable, 'it encodes to something else the second time')
  return message
}

/** Enough to recognise a message by; seed and number make the rest again. */
export function startOf(octets: Buffer): string {
  const start = octets.toString('hex', 0, 600)
  return octets.length > 600 ? `${start}... (${octets.length} octets)` : start
}

function unlessRefused<T>(action: () => T): T | null {
  try {
    return action()
  } catch (error) {
    if (error instanceof WireError) return null
    throw error
  }
}

function checkReaders(message: Message): void {
  const records = [message.answers, message.authorities, message.additionals].flat()
  for (const record of records)
    demand(/^[ -~]+$/.test(printRecord(record)), 'a record prints as more than one line')
  const [question] = message.questions
  if (question !== undefined) {
    const believed = scrub(question, message, true)
    if (believed !== null) new RebindingGuard({ protect: true, allow: [] }).filter(believed.answers)
  }
  try {
    planUpdate(message, UPDATE_ZONE)
  } catch (error) {
    if (!(error instanceof UpdateError)) throw error
  }
}

/** The rcode of the answer, or `silence`. */
async function checkAnswer(
  server: DnsServer,
  octets: Buffer,
  message: Message | null,
  transport: Transport,
): Promise<string> {
  const { messages } = await server.answer(octets, { transport, address: '127.0.0.1' })
  const [first, ...more] = messages
  const deservesNone = octets.length < 12 || (octets[2]! & 0x80) !== 0
  demand((first === undefined) === deservesNone, deservesNone ? 'it was answered' : 'it had no answer')
  if (first === undefined) return 'silence'

  const reply = decodeMessage(first)
  demand(reply.qr && reply.id === octets.readUInt16BE(0), 'the answer is to another query')
  demand(reply.opcode === ((octets[2]! >> 3) & 15), 'the answer has another opcode')
  demand(more.length === 0 || transport !== 'udp', 'several datagrams answer one')
  const limit =
    transport !== 'udp' ? 65_535 : message?.edns ? Math.max(512, Math.min(1232, message.edns.udpSize)) : 512
  demand(first.length <= limit, `the answer has ${first.length} octets`)
  const [echoed] = reply.questions
  const [asked] = message?.questions ?? []
  demand(
    echoed === undefined ||
      asked === undefined ||
      (echoed.name.wire === asked.name.wire && echoed.type === asked.type),
    'the answer echoes another question',
  )
  demand(reply.edns === null || message?.edns !== null, 'the answer has an OPT that was not asked for')
  const name = Object.entries(RCODE).find(([, rcode]) => rcode === reply.rcode)?.[0]
  demand(name !== undefined, `the rcode ${reply.rcode} means nothing here`)
  demand(
    reply.opcode === OPCODE.UPDATE || !UPDATE_RCODES.has(reply.rcode),
    `${name} is no answer to a question`,
  )
  return name!
}

const UPDATE_RCODES: ReadonlySet<number> = new Set([
  RCODE.YXDOMAIN,
  RCODE.YXRRSET,
  RCODE.NXRRSET,
  RCODE.NOTZONE,
])

function demand(holds: boolean, otherwise: string): asserts holds {
  if (!holds) throw new Error(otherwise)
}
