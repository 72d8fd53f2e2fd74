import type { Message, ResourceRecord } from '../../wire/message.ts'
import { Name } from '../../wire/name.ts'
import { parseRdata } from '../../wire/presentation.ts'
import { CLASS, OPCODE, TYPE, typeNumber } from '../../wire/registry.ts'
import { query } from './harness.ts'

/**
 * An update written as nsupdate reads it; names and data are relative to the zone:
 *
 *     prereq nxdomain NAME | yxdomain NAME | nxrrset NAME TYPE | yxrrset NAME TYPE [DATA]
 *     add NAME TTL TYPE DATA
 *     delete NAME [TYPE [DATA]]
 */
export function updateMessage(lines: string, zone = 'home.arpa', part: Partial<Message> = {}): Message {
  const apex = Name.parse(zone)
  const answers: ResourceRecord[] = []
  const authorities: ResourceRecord[] = []
  const record = (owner: string, kind: number, type = 'ANY', ttl = '0', data: string[] = []) => {
    const number = typeNumber(type)!
    const octets = data.length === 0 ? Buffer.alloc(0) : parseRdata(number, data.join(' '), relative)
    return { name: relative(owner), type: number, class: kind, ttl: Number(ttl), data: octets }
  }
  const relative = (text: string) => Name.parse(text, apex)

  for (const line of lines.trim().split('\n')) {
    const [verb, ...words] = line.trim().split(/ +/)
    if (verb === 'prereq') {
      const [kind, owner, type, ...data] = words
      const isThere = kind!.startsWith('yx')
      const recordClass = data.length > 0 ? CLASS.IN : isThere ? CLASS.ANY : CLASS.NONE
      answers.push(record(owner!, recordClass, type, '0', data))
    } else if (verb === 'add') {
      const [owner, ttl, type, ...data] = words
      authorities.push(record(owner!, CLASS.IN, type, ttl, data))
    } else {
      const [owner, type, ...data] = words
      authorities.push(record(owner!, data.length > 0 ? CLASS.NONE : CLASS.ANY, type, '0', data))
    }
  }
  return query('x', 'A', {
    opcode: OPCODE.UPDATE,
    rd: false,
    questions: [{ name: apex, type: TYPE.SOA, class: CLASS.IN }],
    answers,
    authorities,
    ...part,
  })
}
