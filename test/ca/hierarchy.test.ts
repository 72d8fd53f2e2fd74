import { describe, expect, test } from '@jest/globals'
import { DAY, HOUR, MINUTE } from '../../base/clock.ts'
import { readAudit } from '../../store/audit.ts'
import { findCertificate } from '../../store/certificates.ts'
import { findExtension, readCertificate, serialText } from '../../x509/certificate.ts'
import { readCommonNames } from '../../x509/name.ts'
import { OID } from '../../x509/oids.ts'
import { tempDirs } from '../support/tempDir.ts'
import { TestClock } from '../support/testClock.ts'
import { TestHome } from '../support/testHome.ts'

const newDir = tempDirs()

/** Opens a home, looks at it, and closes it again. */
async function inHome<T>(
  dir: string,
  options: Parameters<typeof TestHome.open>[1],
  look: (home: TestHome) => T | Promise<T>,
): Promise<T> {
  const home = await TestHome.open(dir, options)
  try {
    return await look(home)
  } finally {
    await home.close()
  }
}

describe('CONSENT-2: at the first start a root and an issuer are made', () => {
  test('both with critical name constraints, the root with a name of its own', async () => {
    await inHome(newDir(), {}, ({ hierarchy }) => {
      for (const { certificate } of hierarchy.all) {
        expect(findExtension(readCertificate(certificate), OID.nameConstraints)?.critical).toBe(true)
      }
      expect(hierarchy.all.map(({ name }) => readCommonNames(name)[0])).toEqual([
        expect.stringMatching(/^Hearth Home Root [0-9A-Z]{6}$/),
        expect.stringMatching(/^Hearth Issuer [0-9A-Z]{6}$/),
      ])
    })
  })

  test('and recorded: the issuer among the root’s certificates, both in the audit', async () => {
    await inHome(newDir(), {}, async ({ store, hierarchy: { root, current } }) => {
      const serial = serialText(readCertificate(current.certificate).serial)
      expect(await findCertificate(store.db, serial)).toMatchObject({
        issuer_id: root.id,
        profile: 'issuer',
        device_id: null,
      })
      expect((await readAudit(store.db, 0, 10)).map(({ action, subject }) => [action, subject])).toEqual([
        ['root.make', root.id],
        ['issuer.make', current.id],
      ])
    })
  })

  test('two homes have different roots and names', async () => {
    const root = () => inHome(newDir(), {}, ({ hierarchy }) => hierarchy.root)
    const [one, other] = [await root(), await root()]
    expect(one.name).not.toEqual(other.name)
    expect(one.spki).not.toEqual(other.spki)
  })

  test('not while the clock is in doubt', async () => {
    const clock = new TestClock(0)
    await expect(TestHome.open(newDir(), { clock })).rejects.toMatchObject({
      name: 'HierarchyError',
      code: 'CLOCK_UNTRUSTED',
      message: expect.stringMatching(/^no CA can be made: the clock says 1970-01-01T00:00:00Z/),
    })
  })
})

describe('at later starts', () => {
  test('root and issuer are the same', async () => {
    const dir = newDir()
    const certificates = () =>
      inHome(dir, {}, ({ hierarchy }) => hierarchy.all.map(({ certificate }) => certificate))
    const first = await certificates()
    expect(await certificates()).toEqual(first)
  })

  test('a power cut between root and issuer does no harm', async () => {
    const dir = newDir()
    const root = await inHome(dir, {}, async ({ store, hierarchy }) => {
      await store.db.deleteFrom('certificates').execute()
      await store.db.deleteFrom('issuers').where('kind', '=', 'issuer').execute()
      return hierarchy.root.certificate
    })
    await inHome(dir, {}, ({ hierarchy }) => {
      expect(hierarchy.root.certificate).toEqual(root)
      expect(hierarchy.issuers).toHaveLength(1)
    })
  })

  test('another domain is refused: the root cannot sign for it', async () => {
    const dir = newDir()
    await inHome(dir, {}, () => {})
    await expect(TestHome.open(dir, { domain: 'haus.arpa' })).rejects.toMatchObject({
      name: 'HierarchyError',
      code: 'DOMAIN_CHANGED',
      message: expect.stringMatching(
        /was made for home\.arpa .* says haus\.arpa\. Set "domain: home\.arpa", or start over/,
      ),
    })
    await inHome(dir, {}, ({ hierarchy }) => expect(hierarchy.issuers).toHaveLength(1))
  })

  test('another base URL makes a new issuer, and the old one stays with its own', async () => {
    const dir = newDir()
    const old = await inHome(dir, {}, ({ hierarchy }) => hierarchy.current)
    const moved = { baseUrl: 'http://gw.home.arpa:8080', clock: new TestClock(Date.now() + MINUTE) }
    await inHome(dir, moved, ({ hierarchy }) => {
      expect(hierarchy.current.urls).toEqual({
        certificate: `http://gw.home.arpa:8080/ca/${hierarchy.current.id}.crt`,
        crl: `http://gw.home.arpa:8080/crl/${hierarchy.current.id}.crl`,
        ocsp: 'http://gw.home.arpa:8080/ocsp',
      })
      expect(hierarchy.issuers.map(({ id }) => id)).toEqual([old.id, hierarchy.current.id])
      expect(hierarchy.find(old.id)?.urls).toEqual(old.urls)
      expect(hierarchy.find('nobody')).toBeNull()
    })
    await inHome(dir, moved, ({ hierarchy }) => expect(hierarchy.issuers).toHaveLength(2))
  })

  test('also when the clock was set back a little before the move', async () => {
    const dir = newDir()
    const clock = new TestClock()
    await inHome(dir, { clock }, () => {})
    clock.pass(-2 * MINUTE)
    const moved = { baseUrl: 'http://gw.home.arpa:8080', clock }
    const current = await inHome(dir, moved, ({ hierarchy }) => hierarchy.current)
    expect(current.baseUrl).toBe(moved.baseUrl)
    await inHome(dir, moved, ({ hierarchy }) => expect(hierarchy.current.id).toBe(current.id))
  })
})

describe('the issuer rolls over', () => {
  test('at half of its life; the old one is kept until it ends', async () => {
    const clock = new TestClock()
    await inHome(newDir(), { clock }, async (home) => {
      const { hierarchy } = home
      const first = hierarchy.current
      clock.time = (first.notBefore + first.notAfter) / 2
      expect(await hierarchy.rollIfDue()).toBe(false)

      await home.guard.accept('test')
      clock.pass(1000)
      expect(await hierarchy.rollIfDue()).toBe(true)
      expect(hierarchy.current.id).not.toBe(first.id)
      expect(hierarchy.issuers).toHaveLength(2)
      expect(await hierarchy.rollIfDue()).toBe(false)

      clock.time = first.notAfter
      await home.guard.accept('test')
      await hierarchy.rollIfDue()
      expect(hierarchy.find(first.id)).toBeNull()
    })
  })

  test('not while the clock is in doubt: the one there goes on, wherever the clock went', async () => {
    const dir = newDir()
    const clock = new TestClock()
    const first = await inHome(dir, { clock }, async ({ hierarchy }) => {
      for (const days of [200, 400]) {
        clock.pass(days * DAY)
        expect(await hierarchy.rollIfDue()).toBe(false)
      }
      return hierarchy.current
    })
    await inHome(dir, { clock }, ({ hierarchy }) => {
      expect(hierarchy.issuers.map(({ id }) => id)).toEqual([first.id])
    })
  })

  test('and never outlives the root', async () => {
    const clock = new TestClock()
    await inHome(newDir(), { clock, rootYears: 1 }, async ({ hierarchy, guard }) => {
      expect(hierarchy.current.notAfter).toBe(hierarchy.root.notAfter)
      clock.pass(200 * DAY)
      await guard.accept('test')
      // A new one would end no later: there would be ever shorter ones.
      expect(await hierarchy.rollIfDue()).toBe(false)
      clock.pass(200 * DAY)
      await guard.accept('test')
      expect(await hierarchy.rollIfDue()).toBe(false)
    })
  })

  test('an expired issuer is not opened any more', async () => {
    const dir = newDir()
    const clock = new TestClock()
    const first = await inHome(dir, { clock }, async ({ hierarchy, guard }) => {
      clock.pass(366 * DAY + HOUR)
      await guard.accept('test')
      return hierarchy.current
    })
    await inHome(dir, { clock }, ({ hierarchy }) => {
      expect(hierarchy.issuers).toHaveLength(1)
      expect(hierarchy.current.id).not.toBe(first.id)
    })
  })
})
