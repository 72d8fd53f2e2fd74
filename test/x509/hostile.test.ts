import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import {
  altNamesOf,
  basicConstraintsOf,
  extKeyUsagesOf,
  readCertificate,
  subjectKeyIdentifierOf,
} from '../../x509/certificate.ts'
import { CsrError, proveCsr } from '../../x509/csr.ts'
import { DerError } from '../../x509/der.ts'
import { readAltNames } from '../../x509/generalNames.ts'
import { readCommonNames } from '../../x509/name.ts'
import { KeyError } from '../../x509/spki.ts'
import { corpus, hostileOctets } from '../support/hostile.ts'

/** Everything that is ever read of a certificate which somebody presents. */
function readWhole(der: Buffer): void {
  const certificate = readCertificate(der)
  readCommonNames(certificate.subject)
  altNamesOf(certificate)
  extKeyUsagesOf(certificate)
  basicConstraintsOf(certificate)
  subjectKeyIdentifierOf(certificate)
}

type Failure = new (...args: never[]) => Error

/** Runs a reader on octets: it must return, or throw one of the errors that it documents. */
function endsWell(read: (octets: Buffer) => unknown, failures: readonly Failure[], octets: Buffer): void {
  try {
    read(octets)
  } catch (error) {
    if (!failures.some((failure) => error instanceof failure)) throw error
  }
}

describe.each<[string, string, (octets: Buffer) => unknown, readonly Failure[]]>([
  ['requests', 'csr', proveCsr, [CsrError, KeyError]],
  ['certificates', 'certificate', readWhole, [DerError]],
  ['subject alternative names', 'csr', readAltNames, [DerError]],
])('SEC-2: hostile %s end in a result or in a typed error', (_, reader, read, failures) => {
  test.each(corpus(reader))('%s', (_, octets) => {
    endsWell(read, failures, octets)
  })

  test('random and changed octets', () => {
    fc.assert(
      fc.property(hostileOctets(reader), (octets) => endsWell(read, failures, octets)),
      { numRuns: 4000 },
    )
  })
})

test('most of the corpus is sound: the changes begin from something that is understood', () => {
  const understood = (reader: string, read: (octets: Buffer) => unknown) =>
    corpus(reader).filter(([, octets]) => {
      try {
        read(octets)
        return true
      } catch {
        return false
      }
    }).length
  expect(understood('csr', proveCsr)).toBe(6)
  expect(understood('certificate', readWhole)).toBe(4)
})
