import { networkInterfaces } from 'node:os'
import { describe, expect, test } from '@jest/globals'
import { isListenedOn } from '../../daemon/ownListener.ts'

const reached = (addresses: string[], address: string, port = 53) =>
  isListenedOn({ addresses, port: 53 }, { address, port })

describe('whether an address and port lead back to a listener', () => {
  test('its own address does, on its own port', () => {
    expect(reached(['127.0.0.1'], '127.0.0.1')).toBe(true)
    expect(reached(['127.0.0.1'], '127.0.0.1', 5353)).toBe(false)
    expect(reached(['127.0.0.1'], '127.0.0.53')).toBe(false)
    expect(isListenedOn({ addresses: ['127.0.0.1'], port: 0 }, { address: '127.0.0.1', port: 0 })).toBe(false)
  })

  test('to one on all addresses, each of this machine does, loopback most of all', () => {
    for (const { address, family } of Object.values(networkInterfaces()).flatMap((all) => all ?? [])) {
      expect(reached([family === 'IPv4' ? '0.0.0.0' : '::'], address)).toBe(true)
      expect(reached([family === 'IPv4' ? '::' : '0.0.0.0'], address)).toBe(false)
    }
    expect(reached(['0.0.0.0'], '127.0.0.53')).toBe(true)
    expect(reached(['0.0.0.0', '::'], '9.9.9.9')).toBe(false)
    expect(reached(['0.0.0.0', '::'], '2620:fe::fe')).toBe(false)
  })
})
