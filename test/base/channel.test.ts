import { MessageChannel } from 'node:worker_threads'
import { afterEach, expect, test } from '@jest/globals'
import { Channel, RemoteError } from '../../base/channel.ts'
import { HearthError } from '../../base/errors.ts'

const opened: { close(): void }[] = []

afterEach(() => {
  for (const port of opened.splice(0)) port.close()
})

const functions = {
  add: (one: number, other: number) => one + other,
  later: async (text: string) => {
    await new Promise(setImmediate)
    return text.toUpperCase()
  },
  octets: (octets: Uint8Array) => octets.subarray(1),
  refuse: () => {
    throw new HearthError('TOO_OLD', 'it is too old')
  },
  break: async () => {
    throw new Error('broken')
  },
}

/** Both ends; each may call the other. */
function connected() {
  const { port1, port2 } = new MessageChannel()
  opened.push(port1, port2)
  const here = new Channel<typeof functions>(port1, { ask: () => 'from here' })
  const there = new Channel<{ ask(): string }>(port2, functions)
  return { here, there }
}

test('calls go both ways, and results come when they are ready', async () => {
  const { here, there } = connected()
  const order: unknown[] = []
  await Promise.all([
    here.call('later', 'slow').then((result) => order.push(result)),
    here.call('add', 1, 2).then((result) => order.push(result)),
    there.call('ask').then((result) => order.push(result)),
  ])
  expect(order).toEqual(expect.arrayContaining([3, 'SLOW', 'from here']))
  expect(order.indexOf(3)).toBeLessThan(order.indexOf('SLOW'))
  expect(await here.call('octets', Uint8Array.of(1, 2, 3))).toEqual(Uint8Array.of(2, 3))
})

test('a failure keeps its code and its message', async () => {
  const { here } = connected()
  await expect(here.call('refuse')).rejects.toMatchObject({ code: 'TOO_OLD', message: 'it is too old' })
  await expect(here.call('break')).rejects.toMatchObject({ code: 'FAILED', message: 'broken' })
  await expect(here.call('add', 2, 2)).resolves.toBe(4)
})

test('who waits when the other side ends is told, and so is who calls later', async () => {
  const { here } = connected()
  const waiting = here.call('later', 'never')
  here.close(new RemoteError('CLOSED', 'the other side ended'))
  await expect(waiting).rejects.toMatchObject({ code: 'CLOSED' })
  await expect(here.call('add', 1, 1)).rejects.toMatchObject({ code: 'CLOSED' })
})
