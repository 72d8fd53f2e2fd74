import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import * as pkijs from 'pkijs'
import { DAY, HOUR, MINUTE } from '../../base/clock.ts'
import type { Issuer } from '../../ca/issuer.ts'
import { Ledger } from '../../ca/ledger.ts'
import type { RevocationReason } from '../../ca/reasons.ts'
import { revokeSerial } from '../../ca/revocation.ts'
import { CrlPublisher } from '../../ocsp/crlPublisher.ts'
import { findExtension, readCertificate } from '../../x509/certificate.ts'
import { DerReader } from '../../x509/der.ts'
import { OID } from '../../x509/oids.ts'
import { tempDirs } from '../support/tempDir.ts'
import { TestClock } from '../support/testClock.ts'
import { TestHome } from '../support/testHome.ts'
import { Workbench } from '../support/workbench.ts'

const newDir = tempDirs()
let dir: string
let clock: TestClock
let home: TestHome
let crls: CrlPublisher
let bench: Workbench

beforeEach(async () => {
  dir = newDir()
  clock = new TestClock()
  bench = new Workbench(newDir())
  await start()
})
afterEach(() => home.close())

/** One life of the gateway's CA and its publisher; a second call is a restart. */
async function start(): Promise<void> {
  home = await TestHome.open(dir, { clock })
  crls = new CrlPublisher({ ledger: home.ledger, clock, issuers: () => home.hierarchy.all })
  await crls.publish()
  bench.writePem('root.pem', [home.hierarchy.root.certificate])
  bench.writePem('issuer.pem', [home.hierarchy.current.certificate])
}

const current = () => home.hierarchy.current
const der = (issuer: Issuer = current()) => crls.find(issuer.id)!.der
const read = (issuer?: Issuer) => pkijs.CertificateRevocationList.fromBER(der(issuer))
const extension = (id: string, issuer?: Issuer) =>
  Buffer.from(
    read(issuer).crlExtensions!.extensions.find(({ extnID }) => extnID === id)!.extnValue.valueBlock
      .valueHexView,
  )
const numberOf = (issuer?: Issuer) =>
  new DerReader(extension(OID.cRLNumber, issuer), 'CRL number').smallInteger()

/** Serials and reason codes on the list; null where no reason is given. */
const entries = () =>
  Object.fromEntries(
    (read().revokedCertificates ?? []).map(({ userCertificate, crlEntryExtensions }) => [
      Buffer.from(userCertificate.valueBlock.valueHexView).toString('hex').toUpperCase(),
      crlEntryExtensions?.extensions[0]?.extnValue.valueBlock.valueHexView.at(-1) ?? null,
    ]),
  )

async function issueRevoked(name: string, reason: RevocationReason): Promise<string> {
  const { serial } = await home.issue(name)
  await revokeSerial(home.store, serial, reason, 'test')
  return serial
}

describe('CERT-2: there is always a list', () => {
  test('also an empty one, for the root and each issuer, which OpenSSL and GnuTLS verify', async () => {
    expect(entries()).toEqual({})
    for (const [issuer, file] of [
      [home.hierarchy.root, 'root.pem'],
      [current(), 'issuer.pem'],
    ] as const) {
      bench.write('list.der', der(issuer))
      expect(await bench.run(`openssl crl -inform DER -in list.der -noout -verify -CAfile ${file}`)).toBe(
        'verify OK\n',
      )
      await bench.run('openssl crl -inform DER -in list.der -out list.pem')
      expect(
        await bench.run(`certtool --verify-crl --load-ca-certificate ${file} --infile list.pem`),
      ).toContain('Verified.')
    }
    expect(crls.find('nobody')).toBeNull()
  })

  test('its scope is byte for byte the distribution point in the certificates', async () => {
    const { certificate } = await home.issue('nas.home.arpa')
    const point = findExtension(readCertificate(certificate), OID.cRLDistributionPoints)!.value
    const scope = extension(OID.issuingDistributionPoint)
    const name = new DerReader(point, 'CDP').enter().enter().content(0xa0)
    expect(new DerReader(scope, 'IDP').enter().content(0xa0)).toEqual(name)
    expect(name.toString('latin1')).toContain(current().urls.crl)
  })

  test('the root’s has no such scope: it is the list for the root itself too, which points nowhere', () => {
    const ids = read(home.hierarchy.root).crlExtensions!.extensions.map(({ extnID }) => extnID)
    expect(ids).toEqual([OID.authorityKeyIdentifier, OID.cRLNumber])
  })

  test('it begins a little back and may be used for two days', () => {
    expect(crls.find(current().id)).toMatchObject({
      thisUpdate: clock.time - 5 * MINUTE,
      nextUpdate: clock.time + 48 * HOUR,
    })
  })
})

describe('CERT-1: a revoked certificate is on the list', () => {
  test('with its reason, or without one where none was given', async () => {
    const listed = {
      [await issueRevoked('a.home.arpa', 'keyCompromise')]: 1,
      [await issueRevoked('b.home.arpa', 'unspecified')]: null,
      [await issueRevoked('c.home.arpa', 'cessationOfOperation')]: 5,
    }
    await crls.publish()
    expect(entries()).toEqual(listed)
  })

  test('and openssl verify refuses it, and only it', async () => {
    const [nas, tv] = [await home.issue('nas.home.arpa'), await home.issue('tv.home.arpa')]
    await revokeSerial(home.store, nas.serial, 'superseded', 'test')
    await crls.publish()
    bench.writePem('nas.pem', [nas.certificate])
    bench.writePem('tv.pem', [tv.certificate])
    for (const issuer of home.hierarchy.all) {
      bench.write('list.der', der(issuer))
      await bench.run(`openssl crl -inform DER -in list.der -out ${issuer.kind}-list.pem`)
    }
    const verify = async (file: string) =>
      (
        await bench.try(
          'openssl verify -crl_check_all -CAfile root.pem -untrusted issuer.pem ' +
            `-CRLfile root-list.pem -CRLfile issuer-list.pem ${file}`,
        )
      ).output
    expect(await verify('tv.pem')).toBe('tv.pem: OK\n')
    expect(await verify('nas.pem')).toContain('error 23 at 0 depth lookup: certificate revoked')
  })

  test('until one list has outlived it', async () => {
    const serial = await issueRevoked('nas.home.arpa', 'superseded')
    clock.pass(7 * DAY + 47 * HOUR)
    await crls.publish()
    expect(Object.keys(entries())).toEqual([serial])
    clock.pass(HOUR)
    await crls.publish()
    expect(entries()).toEqual({})
  })

  test('and no list is older than what it lists', async () => {
    clock.pass(MINUTE + 700)
    await issueRevoked('nas.home.arpa', 'superseded')
    await crls.publish()
    const [entry] = read().revokedCertificates!
    expect(read().thisUpdate.value.getTime()).toBeGreaterThanOrEqual(entry!.revocationDate.value.getTime())
  })
})

describe('numbers', () => {
  test('grow with every list, also in the same millisecond and over a restart', async () => {
    const numbers = [numberOf()]
    for (let round = 0; round < 3; round++) {
      await crls.publish()
      numbers.push(numberOf())
    }
    await home.close()
    await start()
    numbers.push(numberOf())
    expect(numbers).toEqual([0, 1, 2, 3, 4].map((step) => numbers[0]! + step))
    expect(numbers[0]).toBe(clock.time)
  })

  test('grow though the clock goes back', async () => {
    const before = numberOf()
    clock.pass(-DAY)
    await crls.publish()
    expect(numberOf()).toBe(before + 1)
  })

  test('are an issuer’s own', async () => {
    await crls.publish()
    expect(numberOf(home.hierarchy.root)).toBe(numberOf())
  })
})

describe('a new list is made', () => {
  test('for a refresh only when the last is 12 hours old', async () => {
    const first = der()
    clock.pass(12 * HOUR - 5 * MINUTE - 1000)
    await crls.refresh()
    expect(der()).toBe(first)
    clock.pass(1000)
    await crls.refresh()
    expect(der()).not.toBe(first)
  })

  test('for an issuer that is new, and none any more for one that is gone', async () => {
    const old = current()
    clock.time = (old.notBefore + old.notAfter) / 2 + 1000
    await home.guard.accept('test')
    await home.hierarchy.rollIfDue()
    expect(crls.find(current().id)).toBeNull()
    await crls.refresh()
    expect(crls.find(current().id)).not.toBeNull()
    expect(crls.find(old.id)).not.toBeNull()

    clock.time = old.notAfter + 1000
    await home.guard.accept('test')
    await home.hierarchy.rollIfDue()
    await crls.refresh()
    expect(crls.find(old.id)).toBeNull()
  })

  test('one after another: the last number has the newest contents', async () => {
    const serials: string[] = []
    const publishing: Promise<void>[] = []
    for (let round = 0; round < 5; round++) {
      serials.push(await issueRevoked(`d${round}.home.arpa`, 'superseded'))
      publishing.push(crls.publish())
    }
    await Promise.all(publishing)
    expect(Object.keys(entries()).toSorted()).toEqual(serials.toSorted())
  })

  test('a list that could not be made is made at the next look, not hours later', async () => {
    class FullDisk extends Ledger {
      full = false
      override nextCrlNumber(issuerId: string) {
        return this.full ? Promise.reject(new Error('disk full')) : super.nextCrlNumber(issuerId)
      }
    }
    const ledger = new FullDisk(home)
    crls = new CrlPublisher({ ledger, clock, issuers: () => home.hierarchy.all })
    await crls.publish()
    const serial = await issueRevoked('late.home.arpa', 'superseded')
    ledger.full = true
    await expect(crls.publish()).rejects.toThrow('disk full')
    ledger.full = false
    await crls.refresh()
    expect(Object.keys(entries())).toEqual([serial])
  })
})
