import type { Command } from 'commander'
import { type Cli, facts, table } from '../cli.ts'
import type { StatusReport } from '../status.ts'
import { type Certificate, certificateTable } from './cert.ts'

interface Device {
  deviceId: string
  kind: string
  name: string | null
  names: string[]
  addresses: string[]
  state: string
  profile: string
  added: string
}

interface Credential {
  deviceId: string
  name: string
  id: string
  token: string
  expires: string
  qr: string
}

export function addDeviceCommands(program: Command, cli: Cli): void {
  const device = program.command('device').description('the things in the home that have a name')

  device
    .command('add')
    .description('add a device and make a credential for its first enrolment')
    .argument('<name>', 'such as nas, or nas.home.arpa')
    .option('--address <ip>', 'its address; may be repeated', (ip: string, all: string[]) => [...all, ip], [])
    .option('--profile <profile>', 'certificate profile')
    .action(async (name: string, options: { address: string[]; profile?: string }) => {
      const { address: addresses, profile } = options
      await printCredential(await cli.call<Credential>('device.add', { name, addresses, profile }))
    })

  device
    .command('token')
    .description('a new credential for a device; earlier unused ones end')
    .argument('<name>')
    .action(async (name: string) => printCredential(await cli.call<Credential>('device.token', { name })))

  device
    .command('list')
    .description('all devices')
    .action(async () => {
      const devices = await cli.call<Device[]>('device.list')
      cli.print(devices, () =>
        table(
          ['NAME', 'ADDRESSES', 'STATE', 'PROFILE', 'ADDED'],
          devices.map((each) => [
            each.names.join(', '),
            each.addresses.join(', ') || '-',
            each.kind === 'gateway' ? 'gateway' : each.state,
            each.profile,
            each.added,
          ]),
        ),
      )
    })

  device
    .command('show')
    .description('one device and its certificates')
    .argument('<name>')
    .action(async (name: string) => {
      const shown = await cli.call<Device & { certificates: Certificate[] }>('device.show', { name })
      cli.print(
        shown,
        () =>
          `${facts([
            ['Name', shown.names.join(', ')],
            ['Id', shown.deviceId],
            ['Addresses', shown.addresses.join(', ') || 'none'],
            ['State', shown.state],
            ['Profile', shown.profile],
            ['Added', shown.added],
          ])}\n\n${shown.certificates.length > 0 ? certificateTable(shown.certificates) : 'No certificates yet.'}`,
      )
    })

  device
    .command('remove')
    .description('remove a device: certificates revoked, name gone from the DNS')
    .argument('<name>')
    .action(async (typed: string) => {
      const { name, revoked } = await cli.call<{ name: string; revoked: string[] }>('device.remove', {
        name: typed,
      })
      cli.print({ name, revoked }, `${name} was removed; certificates revoked: ${revoked.length}`)
    })

  async function printCredential(credential: Credential): Promise<void> {
    if (cli.json) return cli.print(credential, '')
    const status = await cli.call<StatusReport>('status')
    cli.print(
      credential,
      `${credential.name} may enroll until ${credential.expires}, once, with this credential (it is not shown again):

  ${credential.id}:${credential.token}

On the device:

  hearth enroll --gateway ${status.listeners.est} \\
    --fingerprint ${status.root.sha256} \\
    --token ${credential.id}:${credential.token} --out ./${credential.name.split('.')[0]}

As a QR code's text:

  ${credential.qr}`,
    )
  }
}
