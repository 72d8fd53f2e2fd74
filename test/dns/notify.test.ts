import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { systemClock } from '../../base/clock.ts'
import { Keyring, Signer } from '../../dns/tsig.ts'
import { decodeMessage, encodeMessage, type Message } from '../../wire/message.ts'
import { printRecord } from '../../wire/presentation.ts'
import { OPCODE, RCODE } from '../../wire/registry.ts'
import { TestClock } from '../support/testClock.ts'
import { waitFor } from '../support/waitFor.ts'
import { ChangingZone, KEY } from './changingZone.ts'

/** A secondary that hears notifications, and answers as it is told. */
class Listener {
  readonly socket: Socket = createSocket('udp4')
  /** `home.arpa. 7`, zone and serial of each notification. */
  readonly heard: string[] = []
  reply: (notification: Message) => Partial<Message> | 'silence' = () => ({})
  isSigned = true
  key = KEY

  async start(): Promise<number> {
    this.socket.on('message', (bytes, peer) => this.#hear(bytes, peer))
    this.socket.bind(0, '127.0.0.1')
    await once(this.socket, 'listening')
    return (this.socket.address() as AddressInfo).port
  }

  #hear(bytes: Buffer, peer: RemoteInfo): void {
    const checked = new Keyring([this.key], systemClock).check(bytes)
    if (checked.outcome !== 'good') throw new Error(`a notification is ${checked.outcome}`)
    const notification = decodeMessage(checked.message)
    const [soa] = notification.answers
    this.heard.push(`${soa!.name} ${printRecord(soa!).split(' ')[6]}`)
    const part = this.reply(notification)
    if (part === 'silence') return
    const reply = encodeMessage({ ...notification, qr: true, answers: [], ...part })
    const signer = new Signer(this.key, systemClock, checked.mac)
    this.socket.send(this.isSigned ? signer.sign(reply) : reply, peer.port, peer.address)
  }
}

let listener: Listener
let zone: ChangingZone

beforeEach(async () => {
  listener = new Listener()
})

afterEach(async () => {
  await zone.close()
  listener.socket.close()
})

async function open(key: string = KEY.name): Promise<void> {
  const port = await listener.start()
  zone = await ChangingZone.open({ secondaries: [{ address: '127.0.0.1', port, key }] }, new TestClock())
}

test('at the start: each zone with anything in it, its new SOA, authoritative and signed', async () => {
  const notifications: Message[] = []
  listener.reply = (notification) => {
    notifications.push(notification)
    return {}
  }
  await open()
  await waitFor(() => listener.heard.length === 3)
  expect([...listener.heard].sort()).toEqual(['168.192.in-addr.arpa. 1', 'd.f.ip6.arpa. 1', 'home.arpa. 1'])
  for (const { opcode, aa, qr, questions, answers } of notifications) {
    expect({ opcode, aa, qr }).toEqual({ opcode: OPCODE.NOTIFY, aa: true, qr: false })
    expect(questions[0]!.name.key).toBe(answers[0]!.name.key)
  }
})

test('changes that come together are told together, with the last serial', async () => {
  await open()
  await waitFor(() => listener.heard.length === 3)
  await zone.store.transaction(async (tx) => {
    for (const owner of ['a', 'b', 'c']) await tx.change('dns.changed', `${owner}.home.arpa`)
  })
  await zone.add('a.home.arpa 60 A 192.168.1.1')
  await zone.add('b.home.arpa 60 A 192.168.1.2')
  await waitFor(() => listener.heard.length > 3)
  await zone.add('c.home.arpa 60 A 192.168.1.3')
  await waitFor(() => listener.heard.at(-1) === `home.arpa. 7`)
  expect(listener.heard.filter((text) => text.startsWith('home.arpa.')).length).toBeLessThanOrEqual(4)
  expect(listener.heard.filter((text) => !text.startsWith('home.arpa.'))).toHaveLength(2)
})

test('told again until there is an answer to just this', async () => {
  const silent = new Set<string>()
  listener.reply = ({ id, answers: [soa] }) => {
    const name = soa!.name.toString()
    if (silent.has(name)) return {}
    silent.add(name)
    return name === 'home.arpa.' ? { id: (id + 1) % 0x10000 } : 'silence'
  }
  await open()
  await waitFor(() => listener.heard.length === 6)
  expect(listener.heard.filter((text) => text === 'home.arpa. 1')).toHaveLength(2)
})

test('an answer that is not signed is none, unless it refuses', async () => {
  listener.isSigned = false
  listener.reply = ({ answers: [soa] }) => ({
    rcode: soa!.name.toString() === 'home.arpa.' ? RCODE.NOTAUTH : RCODE.NOERROR,
  })
  await open()
  await waitFor(() => listener.heard.length === 5)
  expect(listener.heard.filter((text) => text === 'home.arpa. 1')).toHaveLength(1)
  expect(zone.log.join()).toContain('a secondary does not want to hear of a zone')
})

test('a key that does not exist is told once, with what to do; from when it does, there are notifications', async () => {
  await open('second.key')
  await zone.add('a.home.arpa 60 A 192.168.1.1')
  expect(zone.log.filter((line) => line.includes('hearth dns key add second.key --transfer'))).toHaveLength(1)
  expect(listener.heard).toEqual([])
  listener.key = { ...KEY, name: 'second.key' }
  zone.server.setKeys([{ ...listener.key, mayTransfer: false }])
  expect(zone.log.join()).toContain('may not transfer')
  zone.server.setKeys([listener.key])
  await waitFor(() => listener.heard.length === 3)
})
