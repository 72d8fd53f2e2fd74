import { type Clock, SECOND } from '../base/clock.ts'
import type { Log } from '../base/log.ts'
import { decodeHeader } from '../wire/message.ts'
import { OPCODE, RCODE, tsigErrorName } from '../wire/registry.ts'
import { type Answer, rejectUnread } from './respond.ts'
import type { Keyring, Signer } from './tsig.ts'

/** A peer with a wrong key tries again and again: one line in this time tells it all. */
const COMPLAINT_INTERVAL = 10 * SECOND

const KNOWN_OPCODES: ReadonlySet<number | undefined> = new Set(Object.values(OPCODE))

/**
 * Puts signatures around an answer: what comes signed is checked first, and answered signed.
 *
 * Behind it a message is as if it had never been signed, except that its client has a `signature`.
 *
 * @see RFC 8945 sections 5.2 and 5.3.
 */
export function answerSigned(answer: Answer, options: { keyring: Keyring; clock: Clock; log: Log }): Answer {
  const { keyring, clock, log } = options
  let complainedAt = Number.NEGATIVE_INFINITY
  const complain = (client: string, tsigKey: string, error: number) => {
    if (Math.abs(clock.now() - complainedAt) < COMPLAINT_INTERVAL) return
    complainedAt = clock.now()
    log.warn({ client, tsigKey, error: tsigErrorName(error) }, 'a signed DNS message was refused')
  }

  return async (bytes, client) => {
    const checked = keyring.check(bytes)
    switch (checked.outcome) {
      case 'unsigned':
        return answer(bytes, client)
      case 'malformed': {
        // What an opcode that nobody knows comes with need not have the form of a message.
        const opcode = decodeHeader(bytes)?.opcode
        return KNOWN_OPCODES.has(opcode) ? rejectUnread(bytes, RCODE.FORMERR) : answer(bytes, client)
      }
      case 'failed': {
        complain(client.address, checked.keyName, checked.error)
        const refusal = rejectUnread(bytes, RCODE.NOTAUTH)
        return { ...refusal, messages: [...refusal.messages].map(checked.sign) }
      }
      case 'good': {
        const { key, mac, message, signer } = checked
        const signature = { key, mac, octets: signer.octets }
        const response = await answer(message, { ...client, signature })
        return { ...response, messages: signAll(response.messages, signer), isSigned: true, reusableFor: 0 }
      }
    }
  }
}

/** One after the other as they are taken: a zone transfer is never in memory as a whole. */
function* signAll(messages: Iterable<Buffer>, signer: Signer): Iterable<Buffer> {
  for (const message of messages) yield signer.sign(message)
}
