import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { afterEach, describe, expect, test } from '@jest/globals'
import { DnsThread, type DnsThreadOptions } from '../../dns/dnsThread.ts'
import { decodeMessage, encodeMessage } from '../../wire/message.ts'
import { printRecord } from '../../wire/presentation.ts'
import { askTcp, askUdp, HOUSEHOLD, query, serverOptions } from './harness.ts'
import { host } from './household.ts'

const opened: DnsThread[] = []

afterEach(async () => {
  await Promise.all(opened.splice(0).map((thread) => thread.close()))
})

async function startThread(options: Partial<DnsThreadOptions> = {}): Promise<DnsThread> {
  const { clock: _, log, onFailure, ...plain } = serverOptions()
  const thread = new DnsThread({ cacheOctets: plain.cache.octets, log, onFailure })
  opened.push(thread)
  await thread.start({ ...plain, udp: 'thread', ...options })
  return thread
}

async function addressOf(port: number, name: string): Promise<string[]> {
  const reply = decodeMessage(await askUdp(port, encodeMessage(query(name, 'A'))))
  return reply.answers.map(printRecord)
}

const NAS = ['nas.home.arpa. 60 IN A 192.168.1.20']

describe.each(['thread', 'dgram'] as const)('with UDP by %s', (udp) => {
  test('answers over UDP, over TCP, by hand, and explains', async () => {
    const thread = await startThread({ udp })
    expect(await addressOf(thread.port, 'nas.home.arpa')).toEqual(NAS)
    expect(await addressOf(thread.port, 'nas.home.arpa')).toEqual(NAS)
    const [overTcp] = await askTcp(thread.port, [encodeMessage(query('nas.home.arpa', 'A'))])
    expect(decodeMessage(overTcp!).answers.map(printRecord)).toEqual(NAS)
    const { messages } = await thread.answer(encodeMessage(query('nas.home.arpa', 'A', { id: 0 })), {
      transport: 'https',
      address: '192.168.1.7',
    })
    expect(decodeMessage(messages[0]!).answers.map(printRecord)).toEqual(NAS)
    expect(await thread.explain('nas', 'A')).toMatchObject({ source: 'zone', rcode: 'NOERROR', answers: NAS })
  })

  test('whoever asks after a change is told of it, though it was asked before', async () => {
    const thread = await startThread({ udp })
    for (let number = 1; number <= 30; number += 1) {
      const address = `192.168.1.${number}`
      const serial = 7 + number
      const nas = { ...host('nas.home.arpa', address), id: 'nas.home.arpa' }
      await thread.patchZone({ serial, hosts: [{ id: nas.id, host: nas }], owners: [] })
      expect(await addressOf(thread.port, 'nas.home.arpa')).toEqual([`nas.home.arpa. 60 IN A ${address}`])
    }
    await thread.replaceZone({ ...HOUSEHOLD, serial: 99 })
    expect(await addressOf(thread.port, 'nas.home.arpa')).toEqual(NAS)
  })

  test('questions that cannot be read, or ports that are taken, are refused with their codes', async () => {
    const thread = await startThread({ udp })
    await expect(thread.explain('nas', 'NONSENSE')).rejects.toMatchObject({ code: 'TYPE_UNKNOWN' })
    await expect(startThread({ udp, port: thread.port })).rejects.toMatchObject({ code: 'PORT_TAKEN' })
    await expect(startThread({ udp, addresses: ['192.0.2.1'] })).rejects.toMatchObject({
      code: 'ADDRESS_ABSENT',
    })
  })

  test('its port is free again once it is closed', async () => {
    const first = await startThread({ udp })
    const { port } = first
    await first.close()
    const second = await startThread({ udp, port })
    expect(await addressOf(second.port, 'nas.home.arpa')).toEqual(NAS)
  })
})

test('a thread that was never started ends all the same', async () => {
  const { log, onFailure } = serverOptions()
  await new DnsThread({ cacheOctets: 0, log, onFailure }).close()
})

/** A program with the thread that waits in a system call; a process that did not end would fail the test by its time. */
describe('the process ends', () => {
  const children: ChildProcess[] = []

  afterEach(() => {
    for (const child of children.splice(0)) child.kill('SIGKILL')
  })

  async function started(way: string): Promise<{ child: ChildProcess; printed: string[] }> {
    const program = new URL('threadProgram.ts', import.meta.url).pathname
    const child = spawn(process.execPath, [program, way], { stdio: ['ignore', 'pipe', 'ignore'] })
    children.push(child)
    const printed: string[] = []
    const lines = createInterface(child.stdout!)
    lines.on('line', (line) => printed.push(line))
    await once(lines, 'line')
    return { child, printed }
  }

  async function ending(child: ChildProcess): Promise<number | NodeJS.Signals> {
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    return child.exitCode ?? child.signalCode!
  }

  test.each([
    ['close', 0],
    ['exit', 7],
    ['exit during the start', 7],
    ['throw', 1],
    ['reject', 1],
    ['close and exit', 7],
  ])('by %s', async (way, code) => {
    const { child } = await started(way)
    expect(await ending(child)).toBe(code)
  })

  test.each(['SIGTERM', 'SIGINT', 'SIGKILL'] as const)('by %s', async (signal) => {
    const { child, printed } = await started('wait')
    expect(await addressOf(Number(printed[0]), 'nas.home.arpa')).toEqual(NAS)
    child.kill(signal)
    expect(await ending(child)).toBe(signal)
  })

  test('by its own failure, of which whoever started it is told', async () => {
    const { child, printed } = await started('fail')
    expect(await ending(child)).toBe(3)
    expect(printed.slice(1)).toEqual(['failed: a socket was closed while the DNS listened on it'])
  })
})
