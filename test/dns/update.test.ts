import { describe, expect, test } from '@jest/globals'
import { planUpdate, UpdateError, type UpdateZone } from '../../dns/update.ts'
import { parseMasterFile } from '../../wire/masterFile.ts'
import { decodeMessage, encodeMessage, type ResourceRecord } from '../../wire/message.ts'
import { Name } from '../../wire/name.ts'
import { CLASS, TYPE } from '../../wire/registry.ts'
import { updateMessage } from './updateLines.ts'

/** RFC 2136 as a table: what an update says, and what becomes of it. */

const apex = Name.parse('home.arpa')
const records = (text: string) => parseMasterFile(text, { origin: apex, defaultTtl: 300 })
const at = (all: ResourceRecord[], owner: Name) => all.filter(({ name }) => name.key === owner.key)

const MADE = records(`
@ SOA gateway hostmaster 7 3600 600 604800 60
@ NS gateway
gateway A 192.168.1.1
nas A 192.168.1.20
nas AAAA fd00::20`)
const KEPT = records(`
@ MX 10 mail
nas TXT "in the cellar"
mail A 192.168.1.30
mail A 192.168.1.31
www CNAME mail
deep.under A 192.168.1.40`)

const zone: UpdateZone = {
  apex,
  made: (owner) => at(MADE, owner),
  kept: (owner) => at(KEPT, owner),
  refusal: (owner) =>
    owner.key === Name.parse('wpad.home.arpa').key ? 'wpad is asked for by programs' : null,
}

/** The lines of the plan, or the rcode. Through the wire, as it comes. */
function outcome(lines: string): string {
  try {
    const message = decodeMessage(encodeMessage(updateMessage(lines)))
    const { removed, added } = planUpdate(message, zone)
    const shown = (sign: string, list: typeof added) =>
      list.map(({ owner, ttl, type, data }) => `${sign} ${owner} ${ttl} ${type} ${data}`)
    return [...shown('-', removed), ...shown('+', added)].join('\n')
  } catch (error) {
    if (error instanceof UpdateError) return error.code
    throw error
  }
}

describe('prerequisites (section 3.2)', () => {
  test.each([
    ['a name in use', 'prereq yxdomain mail', ''],
    ["a device's name is in use", 'prereq yxdomain nas', ''],
    ['a name not in use', 'prereq yxdomain new', 'NXDOMAIN'],
    ['an empty non-terminal is not in use (section 2.4.4)', 'prereq yxdomain under', 'NXDOMAIN'],
    ['a name not in use', 'prereq nxdomain new', ''],
    ['an empty non-terminal', 'prereq nxdomain under', ''],
    ['a name in use', 'prereq nxdomain MAIL', 'YXDOMAIN'],
    ["a device's name", 'prereq nxdomain nas', 'YXDOMAIN'],
    ['an RRset that exists', 'prereq yxrrset mail A', ''],
    ['one that does not', 'prereq yxrrset mail AAAA', 'NXRRSET'],
    ['one that does not', 'prereq nxrrset mail AAAA', ''],
    ['one that exists', 'prereq nxrrset nas AAAA', 'YXRRSET'],
    ['an RRset exactly', 'prereq yxrrset mail A 192.168.1.31\nprereq yxrrset mail A 192.168.1.30', ''],
    ['its case does not matter', 'prereq yxrrset WWW CNAME Mail', ''],
    ['the same record twice is one', 'prereq yxrrset www CNAME mail\nprereq yxrrset www CNAME MAIL', ''],
    ['less than there is', 'prereq yxrrset mail A 192.168.1.30', 'NXRRSET'],
    ['more than there is', 'prereq yxrrset nas A 192.168.1.20\nprereq yxrrset nas A 192.168.1.21', 'NXRRSET'],
    ['the SOA', 'prereq yxrrset @ SOA gateway hostmaster 7 3600 600 604800 60', ''],
    ['an older SOA', 'prereq yxrrset @ SOA gateway hostmaster 6 3600 600 604800 60', 'NXRRSET'],
    ['a name outside the zone', 'prereq yxdomain example.com.', 'NOTZONE'],
    ['the first that fails says why', 'prereq nxdomain mail\nprereq yxdomain new', 'YXDOMAIN'],
    ['nothing is done when one fails', 'prereq yxdomain new\nadd new 60 A 192.168.1.9', 'NXDOMAIN'],
  ])('%s: %s', (_, lines, expected) => {
    expect(outcome(lines)).toBe(expected)
  })
})

describe('changes (section 3.4.2)', () => {
  test.each([
    ['add', 'add new 60 A 192.168.1.9', '+ new.home.arpa 60 A 192.168.1.9'],
    ['names are kept in lower case', 'add New 60 CNAME Mail', '+ new.home.arpa 60 CNAME mail.home.arpa.'],
    ['a duplicate is ignored', 'add mail 300 A 192.168.1.30', ''],
    ["a duplicate of a device's record too", 'add nas 60 A 192.168.1.20', ''],
    [
      'the TTL of one is that of the RRset',
      'add mail 60 A 192.168.1.32',
      '+ mail.home.arpa 60 A 192.168.1.30\n+ mail.home.arpa 60 A 192.168.1.31\n+ mail.home.arpa 60 A 192.168.1.32',
    ],
    ['other data beside a CNAME is ignored', 'add www 60 A 192.168.1.9', ''],
    ['a CNAME beside other data is ignored', 'add mail 60 CNAME nas', ''],
    ["a CNAME at a device's name too", 'add nas 60 CNAME mail', ''],
    [
      'a CNAME replaces a CNAME',
      'add www 300 CNAME nas',
      '- www.home.arpa 300 CNAME mail.home.arpa.\n+ www.home.arpa 300 CNAME nas.home.arpa.',
    ],
    [
      'in order: a CNAME after what was there has gone',
      'delete mail\nadd mail 60 CNAME nas',
      '- mail.home.arpa 300 A 192.168.1.30\n- mail.home.arpa 300 A 192.168.1.31\n+ mail.home.arpa 60 CNAME nas.home.arpa.',
    ],
    ['and not before', 'add mail 300 CNAME nas\nadd mail 300 A 192.168.1.30', ''],
    ['delete an RRset', 'delete www CNAME', '- www.home.arpa 300 CNAME mail.home.arpa.'],
    ['that is not there', 'delete www A', ''],
    ['delete a record', 'delete mail A 192.168.1.30', '- mail.home.arpa 300 A 192.168.1.30'],
    ['in another case', 'delete WWW CNAME MAIL', '- www.home.arpa 300 CNAME mail.home.arpa.'],
    ['that is not there', 'delete mail A 192.168.1.99', ''],
    ['that a device does not have', 'delete nas A 192.168.1.99', ''],
    ['delete a name', 'delete deep.under', '- deep.under.home.arpa 300 A 192.168.1.40'],
    ['that is not there', 'delete new', ''],
    [
      'delete and add the same',
      'delete mail A\nadd mail 300 A 192.168.1.30\nadd mail 300 A 192.168.1.31',
      '',
    ],
    ['add and delete the same', 'add new 60 A 192.168.1.9\ndelete new', ''],
    [
      "beside a device's records",
      'add nas 60 TXT "upstairs"',
      expect.stringContaining('+ nas.home.arpa 60 TXT "upstairs"'),
    ],
    ["what stands beside a device's records", 'delete nas TXT', '- nas.home.arpa 300 TXT "in the cellar"'],
    ['a type unknown here', 'add new 60 TYPE65280 \\# 2 beef', '+ new.home.arpa 60 TYPE65280 \\# 2 beef'],
  ])('%s: %s', (_, lines, expected) => {
    expect(outcome(lines)).toEqual(expected)
  })
})

describe('the apex (sections 3.4.2.3 and 3.4.2.4)', () => {
  test.each([
    ['SOA and NS stay when the name is cleansed', 'delete @', '- home.arpa 300 MX 10 mail.home.arpa.'],
    ['the SOA stays', 'delete @ SOA', ''],
    ['the NS stays', 'delete @ NS', ''],
    ['also when it is named', 'delete @ NS gateway', ''],
    ['an SOA that is no newer is ignored', 'add @ 60 SOA gateway hostmaster 7 1 1 1 1', ''],
    ['an SOA elsewhere is ignored', 'add new 60 SOA gateway hostmaster 9 1 1 1 1', ''],
    ['a newer one is refused: serials are made here', 'add @ 60 SOA gateway hostmaster 8 1 1 1 1', 'REFUSED'],
    ['so is another name server', 'add @ 60 NS mail', 'REFUSED'],
  ])('%s: %s', (_, lines, expected) => {
    expect(outcome(lines)).toBe(expected)
  })
})

describe('what the gateway makes itself', () => {
  test.each([
    ['an address more for a device', 'add nas 60 A 192.168.1.66'],
    ['an address less', 'delete nas A 192.168.1.20'],
    ['all its addresses', 'delete nas A'],
    ['its whole name', 'delete nas'],
    ["the gateway's address", 'delete gateway A 192.168.1.1'],
    ['a name with a meaning of its own', 'add wpad 60 A 192.168.1.66'],
    ['and nothing else is done either', 'add new 60 A 192.168.1.9\ndelete nas A'],
  ])('%s is refused: %s', (_, lines) => {
    expect(outcome(lines)).toBe('REFUSED')
  })
})

describe('prescan (section 3.4.1)', () => {
  const name = Name.parse('new.home.arpa')
  const good = { name, type: TYPE.A, class: CLASS.IN, ttl: 0, data: Buffer.of(192, 168, 1, 9) }
  const empty = Buffer.alloc(0)
  test.each([
    ['a name outside the zone', { ...good, name: Name.parse('example.com') }, 'NOTZONE'],
    ['a class that has no meaning', { ...good, class: CLASS.CH }, 'FORMERR'],
    ['a type only for questions', { ...good, type: TYPE.AXFR }, 'FORMERR'],
    ['ANY to be added', { ...good, type: TYPE.ANY, data: empty }, 'FORMERR'],
    ['an RRset to be deleted, with data', { ...good, class: CLASS.ANY }, 'FORMERR'],
    ['an RRset to be deleted, with a TTL', { ...good, class: CLASS.ANY, ttl: 1, data: empty }, 'FORMERR'],
    ['MAILA to be deleted', { ...good, class: CLASS.ANY, type: TYPE.MAILA, data: empty }, 'FORMERR'],
    ['a record to be deleted, with a TTL', { ...good, class: CLASS.NONE, ttl: 1 }, 'FORMERR'],
    ['a record of type ANY to be deleted', { ...good, class: CLASS.NONE, type: TYPE.ANY }, 'FORMERR'],
  ])('%s', (_, record, code) => {
    const message = updateMessage('add new 60 A 192.168.1.9')
    message.authorities.push(record)
    expect(() => planUpdate(message, zone)).toThrow(expect.objectContaining({ code }))
  })

  test.each([
    ['a TTL', { ...good, ttl: 1 }],
    ['a class that has no meaning', { ...good, class: CLASS.CH }],
    ['a type only for questions', { ...good, type: TYPE.ANY }],
    ['data of a set that is said to exist', { ...good, class: CLASS.ANY }],
    ['data of a set that is said not to exist', { ...good, class: CLASS.NONE }],
  ])('a prerequisite with %s', (_, record) => {
    const message = updateMessage('add new 60 A 192.168.1.9', 'home.arpa', { answers: [record] })
    expect(() => planUpdate(message, zone)).toThrow(expect.objectContaining({ code: 'FORMERR' }))
  })
})
