import { WireError } from '../wire/errors.ts'
import {
  decodeHead,
  decodeHeader,
  decodeMessage,
  type Edns,
  encodeMessage,
  type Header,
  leastLength,
  MAX_MESSAGE,
  type Message,
  type Question,
  type ResourceRecord,
} from '../wire/message.ts'
import { CLASS, EDNS_OPTION, EXTENDED_ERROR, isMetaType, OPCODE, RCODE, TYPE } from '../wire/registry.ts'
import { isMisused, padded, type Transport, transportOptions, wantsPadding } from './edns.ts'
import type { ExtendedError } from './forwarder.ts'
import { MAX_QUERY, MINIMUM_UDP_PAYLOAD, UDP_PAYLOAD } from './payload.ts'
import type { Resolution, ResolveFlags } from './resolve.ts'
import type { TsigKey } from './tsig.ts'

/** Who asks, and by what way. */
export interface Client {
  transport: Transport
  /** In canonical text. */
  address: string
  /** Whether it is one of the home's; whoever is not gets answers only with a signature. */
  isLocal?: boolean
  /** Missing where the query was not signed; a bad signature does not come this far. */
  signature?: Signature
}

/** The good signature of a query. */
export interface Signature {
  key: TsigKey
  /** Tells one signed message from all others. */
  mac: Buffer
  /** What the signature of the response will add to it. */
  octets: number
}

/** What becomes of a query. */
export interface Response {
  /** None where there is no response; several for the parts of a zone transfer, each made when it is taken. */
  messages: Iterable<Buffer>
  /** What was asked, where that could be read. */
  question: Question | null
  rcode: number
  /** Whether it answers a good signature with one. */
  isSigned?: boolean
  /** Where the answer comes from; null where the message alone decided. */
  source: Resolution['source'] | null
  upstream: string | null
  /** Milliseconds during which the same query may have the same response, its TTLs counted down. */
  reusableFor: number
}

/** Answers the octets of one query. Never rejects for anything a client can send. */
export type Answer = (query: Uint8Array, client: Client) => Promise<Response>

/** Answers one question of class IN. */
export type Resolve = (question: Question, flags: ResolveFlags) => Promise<Resolution>

/** What becomes of one dynamic update. `octets` are those of the message without its signature. */
export type Update = (
  message: Message,
  octets: Uint8Array,
  client: Client,
) => Promise<Pick<Resolution, 'rcode' | 'extendedError'>>

/** What becomes of one request to copy a zone. */
export type Transfer = (
  question: Question,
  query: Message,
  client: Client,
) => Pick<Resolution, 'rcode' | 'extendedError'> & {
  /** The answer section of each message. */
  parts: Iterable<readonly ResourceRecord[]>
}

/** Who finds the answers. Without `update` or `transfer`, there are none. */
export interface Services {
  resolve: Resolve
  update?: Update | undefined
  transfer?: Transfer | undefined
}

/** What gets no response: less than a header, and responses, which answered could make two servers talk for ever. */
const NO_RESPONSE: Response = {
  messages: [],
  question: null,
  rcode: RCODE.NOERROR,
  source: null,
  upstream: null,
  reusableFor: 0,
}

/**
 * Turns the octets of a query into those of its response, by the rules that hold for every message.
 *
 * Never throws for anything a client can send.
 */
export async function respond(bytes: Uint8Array, client: Client, services: Services): Promise<Response> {
  // 1. The header alone decides whether to answer at all, and whether the rest has a known form.
  const header = decodeHeader(bytes)
  if (header === null || header.qr) return NO_RESPONSE
  const update = header.opcode === OPCODE.UPDATE ? services.update : undefined
  if (header.opcode !== OPCODE.QUERY && update === undefined) return reject(header, { rcode: RCODE.NOTIMP })

  // 2. The whole message, if it has a size to be read at all. An update may be large, once its sender is known.
  const isWelcome = update !== undefined && client.signature !== undefined
  if (bytes.length > MAX_QUERY && !isWelcome) {
    return reject(header, { rcode: update === undefined ? RCODE.FORMERR : RCODE.REFUSED })
  }
  let query: Message
  try {
    query = decodeMessage(bytes)
  } catch (error) {
    if (!(error instanceof WireError)) throw error
    const edns = error.code === 'OPT_MALFORMED' ? ourEdns(false) : null
    return reject(readableHead(bytes) ?? header, { rcode: RCODE.FORMERR, edns })
  }

  // 3. EDNS before the question: with an unknown version, nothing else is known for sure.
  const options = transportOptions(query.edns, client.transport)
  const edns = query.edns === null ? null : { ...ourEdns(query.edns.dnssecOk), options }
  const largest = client.transport === 'udp' ? udpLimit(query.edns) : MAX_MESSAGE
  const room: Room = {
    octets: largest - (client.signature?.octets ?? 0),
    isPadded: wantsPadding(query.edns, client.transport),
  }
  const refuse = (rcode: number) => reject(query, { rcode, edns }, room)
  if (query.edns !== null && query.edns.version > 0) return refuse(RCODE.BADVERS)
  if (isMisused(query.edns, client.transport)) return refuse(RCODE.FORMERR)
  if (update !== undefined) {
    const { rcode, extendedError } = await update(query, bytes, client)
    return reject(query, { rcode, ra: false, edns: explained(edns, extendedError) }, room)
  }

  // 4. Only the home's own, and those it gave a key.
  if (client.isLocal !== true && client.signature === undefined) {
    return reject(query, { rcode: RCODE.REFUSED, ra: false, edns: explained(edns, PROHIBITED) }, room)
  }

  // 5. Exactly one question (RFC 9619 section 4), and one that can be answered.
  const [question] = query.questions
  if (question === undefined || query.questions.length > 1) return refuse(RCODE.FORMERR)
  const isTransfer = question.type === TYPE.AXFR || question.type === TYPE.IXFR
  if (isMetaType(question.type) && question.type !== TYPE.ANY && !isTransfer) return refuse(RCODE.NOTIMP)
  if (question.class !== CLASS.IN) return refuse(RCODE.REFUSED)
  if (isTransfer) {
    if (services.transfer === undefined) return refuse(RCODE.REFUSED)
    const { rcode, extendedError, parts } = services.transfer(question, query, client)
    const part = { rcode, aa: rcode === RCODE.NOERROR, edns: explained(edns, extendedError) }
    return { ...NO_RESPONSE, messages: encodeParts(query, parts, part, room), question, rcode }
  }

  // 6. The answer.
  const { rd, cd } = query
  const dnssecOk = edns?.dnssecOk ?? false
  const resolution = await services.resolve(question, { rd, cd, dnssecOk, client: client.address })
  const { rcode, aa, answers, authorities, additionals, extendedError, source, upstream, reusableFor } =
    resolution
  const response = responseTo(query, {
    rcode,
    aa,
    answers,
    authorities,
    additionals,
    edns: explained(edns, extendedError),
  })
  return { messages: [encode(response, room)], question, rcode, source, upstream, reusableFor }
}

/** Refuses a message whose header alone is looked at; nothing if it is none that gets a response. */
export function rejectUnread(bytes: Uint8Array, rcode: number): Response {
  const header = decodeHeader(bytes)
  if (header === null || header.qr) return NO_RESPONSE
  const head = bytes.length > MAX_QUERY ? null : readableHead(bytes)
  return reject(head ?? header, { rcode })
}

function reject(
  head: Parameters<typeof responseTo>[0],
  part: Partial<Message> & { rcode: number },
  room?: Room,
): Response {
  return {
    ...NO_RESPONSE,
    messages: [encode(responseTo(head, part), room)],
    question: head.questions?.[0] ?? null,
    rcode: part.rcode,
  }
}

/** The messages of a transfer, each made when it is taken. Only the first repeats the question (RFC 5936 section 2.2). */
function* encodeParts(
  query: Message,
  parts: Iterable<readonly ResourceRecord[]>,
  part: Partial<Message>,
  room: Room,
): Generator<Buffer> {
  let { questions } = query
  for (const answers of parts) {
    yield encode(responseTo(query, { ...part, questions, answers: [...answers] }), room)
    questions = []
  }
}

/** What a response may measure, and whether its length is to be hidden. */
interface Room {
  octets: number
  isPadded: boolean
}

/** Without text: whoever is outside may have forged the address, and should not have more sent to it than need be. */
const PROHIBITED: ExtendedError = { code: EXTENDED_ERROR.PROHIBITED, text: '' }

function encode(message: Message, room: Room = { octets: MAX_MESSAGE, isPadded: false }): Buffer {
  // A long question and the signature of a key with a long name may leave no room for reasons, or for anything
  // at all. Header, question and a bare OPT go out all the same: whoever signed the question sent as much.
  const edns =
    message.edns !== null && leastLength(message) > room.octets
      ? { ...message.edns, options: [] }
      : message.edns
  const fitting = { ...message, edns }
  const limit = Math.max(room.octets, leastLength(fitting))
  const octets = encodeMessage(fitting, limit)
  return room.isPadded && edns !== null ? padded(octets, edns, limit) : octets
}

/**
 * The frame of a response: the query's id, opcode, question and RD.
 *
 * RA is always set, since recursion is always on offer. CD is copied (RFC 4035 section 3.2.2). AD stays
 * clear: nothing is validated here, and an upstream's word for it came over a channel that anyone can
 * write to.
 */
function responseTo(query: Header & { questions?: readonly Question[] }, part: Partial<Message>): Message {
  return {
    id: query.id,
    qr: true,
    opcode: query.opcode,
    aa: false,
    tc: false,
    rd: query.rd,
    ra: true,
    ad: false,
    cd: query.cd,
    rcode: RCODE.NOERROR,
    questions: query.questions?.length === 1 ? [...query.questions] : [],
    answers: [],
    authorities: [],
    additionals: [],
    edns: null,
    ...part,
  }
}

/** Header and question of a message whose records are broken; null if the question is broken too. */
function readableHead(bytes: Uint8Array) {
  try {
    return decodeHead(bytes)
  } catch {
    return null
  }
}

/** An OPT is answered with an OPT, its DO bit copied (RFC 6891 section 7, RFC 3225 section 3). */
function ourEdns(dnssecOk: boolean): Edns {
  return { udpSize: UDP_PAYLOAD, version: 0, dnssecOk, options: [] }
}

/** The same with the reason in it, if there is one and the client speaks EDNS. */
function explained(edns: Edns | null, reason: ExtendedError | null): Edns | null {
  return edns === null || reason === null
    ? edns
    : { ...edns, options: [...edns.options, extendedErrorOption(reason)] }
}

/** What the client can take, but never so much that it would travel in fragments. */
function udpLimit(edns: Edns | null): number {
  if (edns === null) return MINIMUM_UDP_PAYLOAD
  return Math.min(UDP_PAYLOAD, Math.max(MINIMUM_UDP_PAYLOAD, edns.udpSize))
}

/** Octets of the text that says why, which may be an upstream's: with the longest question, 512 hold it too. */
const MAX_REASON = 120

function extendedErrorOption({ code, text }: ExtendedError) {
  const data = Buffer.alloc(2 + MAX_REASON)
  data.writeUInt16BE(code)
  const { written } = new TextEncoder().encodeInto(text, data.subarray(2))
  return { code: EDNS_OPTION.EXTENDED_ERROR, data: data.subarray(0, 2 + written) }
}
