import { expect, test } from '@jest/globals'
import { buildSnapshot } from '../../dns/snapshot.ts'
import { Name } from '../../wire/name.ts'
import { TYPE } from '../../wire/registry.ts'

const OPTIONS = { domain: 'home.arpa', gatewayName: 'gateway.home.arpa' }

test('what is wrong in the data is left out and told, and the rest is served', () => {
  const { snapshot, problems } = buildSnapshot(
    {
      serial: 1,
      hosts: [
        { name: 'nas.home.arpa', addresses: ['192.168.1.20', 'nonsense'] },
        { name: 'www.example.com', addresses: ['192.168.1.21'] },
        { name: 'no..name', addresses: ['192.168.1.22'] },
      ],
      records: [
        { owner: 'nas.home.arpa', type: 'CNAME', ttl: 60, data: 'tv.home.arpa.' },
        { owner: 'a.home.arpa', type: 'A', ttl: 60, data: 'fd00::1' },
        { owner: 'b.home.arpa', type: 'WHAT', ttl: 60, data: '' },
        { owner: 'www.example.com', type: 'A', ttl: 60, data: '192.168.1.22' },
        { owner: 'tv.home.arpa', type: 'A', ttl: 60, data: '192.168.1.30' },
      ],
    },
    OPTIONS,
  )
  expect(problems).toEqual([
    'the host nas.home.arpa is left out: "nonsense" is no IP address',
    'the host www.example.com is left out: it is not in home.arpa',
    expect.stringContaining('the host no..name is left out: the name "no..name" has an empty label'),
    'the record nas.home.arpa CNAME is left out: the owner is a device with addresses',
    expect.stringContaining(
      'the record a.home.arpa A is left out: the data of a record of type A needs an IPv4',
    ),
    'the record b.home.arpa WHAT is left out: its type is unknown',
    'the record www.example.com A is left out: its owner is in none of the zones answered here',
  ])
  for (const served of ['nas.home.arpa', 'tv.home.arpa']) {
    const name = Name.parse(served)
    expect(snapshot.find(name)!.lookup(name, TYPE.A).kind).toBe('answer')
  }
})

test('a public address of a host gets no PTR: its reverse zone is not ours', () => {
  const { snapshot, problems } = buildSnapshot(
    { serial: 1, hosts: [{ name: 'nas.home.arpa', addresses: ['9.9.9.9', '2620:fe::fe'] }], records: [] },
    OPTIONS,
  )
  expect(problems).toEqual([])
  expect(snapshot.find(Name.parse('9.9.9.9.in-addr.arpa'))).toBeNull()
})

test('two devices with one address are both told', () => {
  const hosts = ['one', 'two'].map((name) => ({ name: `${name}.home.arpa`, addresses: ['192.168.1.5'] }))
  const { snapshot } = buildSnapshot({ serial: 1, hosts, records: [] }, OPTIONS)
  const name = Name.parse('5.1.168.192.in-addr.arpa')
  const answer = snapshot.find(name)!.lookup(name, TYPE.PTR)
  expect(answer.kind === 'answer' && answer.records).toHaveLength(2)
})
