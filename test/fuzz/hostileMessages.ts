import { MAX_MESSAGE } from '../../wire/message.ts'
import { TYPE } from '../../wire/registry.ts'

const ROOT = Buffer.of(0)

/** A name of as many labels as a name can have, in capitals, so that nothing about it comes for free. */
const LONG_NAME = Buffer.concat([Buffer.from('0141'.repeat(127), 'hex'), ROOT])

/** Offsets of a message's first name: the question's, or in the RDATA of a first record of the root. */
const QUESTION_AT = 12
const RDATA_AT = 23

/** A label and the root, then 126 times a label and a pointer to the name before. */
const CHAIN = Buffer.concat([
  Buffer.from('014100', 'hex'),
  ...range(126).flatMap((n) => [
    Buffer.from('0141', 'hex'),
    pointer(n === 0 ? RDATA_AT : RDATA_AT - 1 + 4 * n),
  ]),
])

/** As many long names as pointers can reach, and the offsets of their labels from the last to the first. */
const LONG_NAMES = Buffer.concat(Array(63).fill(LONG_NAME))
const LABELS = range(63 * 127)
  .map((n) => RDATA_AT + LONG_NAME.length * Math.floor(n / 127) + 2 * (n % 127))
  .reverse()

/** Messages of the largest size there is that try to take long, each in a way of its own. */
export const HOSTILE_MESSAGES: readonly Buffer[] = [
  // Records, strings and options of nothing.
  filledUp([], [], () => record(ROOT, TYPE.NULL)),
  response([], [record(ROOT, TYPE.TXT, Buffer.alloc(65_512))]),
  response([], [], [record(ROOT, TYPE.OPT, Buffer.alloc(65_512))]),
  // Three pointers a record: to a long name, to the end of many pointers, to labels that nobody met before.
  filledUp([LONG_NAME], [], () =>
    record(pointer(QUESTION_AT), TYPE.MINFO, pointer(QUESTION_AT), pointer(QUESTION_AT)),
  ),
  filledUp([], [record(ROOT, TYPE.NULL, CHAIN)], () => {
    const end = pointer(RDATA_AT + CHAIN.length - 4)
    return record(end, TYPE.MINFO, end, end)
  }),
  filledUp([], [record(ROOT, TYPE.NULL, LONG_NAMES)], (n) => {
    const name = (nth: number) => pointer(LABELS[(3 * n + nth) % LABELS.length]!)
    return record(name(0), TYPE.MINFO, name(1), name(2))
  }),
  // Long names that share all but one label, all but many, and nothing.
  filledUp([LONG_NAME.subarray(2)], [], (n) =>
    record(before(QUESTION_AT, 1, n), TYPE.NS, pointer(QUESTION_AT)),
  ),
  filledUp([LONG_NAME.subarray(64)], [], (n) =>
    record(before(QUESTION_AT, 32, n), TYPE.NS, pointer(QUESTION_AT)),
  ),
  filledUp([], [], (n) => record(before(null, 127, 2 * n), TYPE.NS, before(null, 127, 2 * n + 1))),
]

/** A response with these questions and answers, and as many more answers as there is room for. */
function filledUp(
  questions: readonly Buffer[],
  answers: readonly Buffer[],
  next: (n: number) => Buffer,
): Buffer {
  const all = [...answers]
  let room = MAX_MESSAGE - response(questions, answers).length
  for (let answer = next(0); answer.length <= room; answer = next(all.length)) {
    all.push(answer)
    room -= answer.length
  }
  return response(questions, all)
}

function response(
  questions: readonly Buffer[],
  answers: readonly Buffer[],
  additionals: readonly Buffer[] = [],
): Buffer {
  return Buffer.concat([
    ...[0x1234, 0x8100, questions.length, answers.length, 0, additionals.length].map(u16),
    ...questions.flatMap((name) => [name, u16(TYPE.ANY), u16(1)]),
    ...answers,
    ...additionals,
  ])
}

function record(owner: Buffer, type: number, ...data: readonly Buffer[]): Buffer {
  const rdata = Buffer.concat(data)
  return Buffer.concat([owner, u16(type), u16(1), Buffer.alloc(4), u16(rdata.length), rdata])
}

/** The nth name of `count` labels before the name at an offset, or before the root. */
function before(offset: number | null, count: number, n: number): Buffer {
  const labels = range(count).flatMap((label) => [1, (n * 131 + label * (1 + (n >> 8))) & 0xff])
  return Buffer.concat([Buffer.from(labels), offset === null ? ROOT : pointer(offset)])
}

function pointer(offset: number): Buffer {
  return u16(0xc000 | offset)
}

function u16(value: number): Buffer {
  return Buffer.of(value >> 8, value & 0xff)
}

function range(length: number): number[] {
  return Array.from({ length }, (_, n) => n)
}
