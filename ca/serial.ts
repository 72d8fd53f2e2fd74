import { randomBytes } from 'node:crypto'

/**
 * 128 random bits with the highest set to 0 and the next to 1: always 16 octets, positive, never guessable.
 *
 * RFC 5280 section 4.1.2.2 allows 20 octets; browsers' rules want 64 bits from a random source.
 */
export function newSerial(): Buffer {
  const serial = randomBytes(16)
  serial[0] = (serial[0]! & 0x3f) | 0x40
  return serial
}
