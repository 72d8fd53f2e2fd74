import { type Command, InvalidArgumentError } from 'commander'
import { type Cli, table } from '../cli.ts'

interface Service {
  device: string
  instance: string
  type: string
  port: number
  txt: string[]
  alpn: string[]
}

export function addServiceCommands(program: Command, cli: Cli): void {
  const service = program.command('service').description('what devices offer, announced in the DNS (DNS-SD)')

  service
    .command('add')
    .description("announce a service, or change one's port and strings")
    .argument('<device>', 'such as nas, or nas.home.arpa')
    .argument('<type>', 'such as _ipp._tcp, or ipp')
    .argument('<port>', 'where it listens', port)
    .option('--name <instance>', 'what people see in a list; by default the name of the device')
    .option('--txt <key=value>', 'more about it; may be repeated', collect, [])
    .option('--alpn <protocol>', 'what it speaks over TLS, such as h2; may be repeated', collect, [])
    .action(
      async (
        device: string,
        type: string,
        number: number,
        options: { name?: string; txt: string[]; alpn: string[] },
      ) => {
        const { name: instance, txt, alpn } = options
        const added = await cli.call<Service>('service.add', {
          device,
          type,
          port: number,
          instance,
          txt,
          alpn,
        })
        cli.print(
          added,
          `"${added.instance}" is announced: ${added.type} at ${added.device} port ${added.port}`,
        )
      },
    )

  service
    .command('list')
    .description('what is announced, of one device or of all')
    .argument('[device]')
    .action(async (device: string | undefined) => {
      const services = await cli.call<Service[]>('service.list', { device })
      cli.print(services, () =>
        table(
          ['NAME', 'TYPE', 'DEVICE', 'PORT', 'ALPN', 'TXT'],
          services.map((each) => [
            each.instance,
            each.type,
            each.device,
            String(each.port),
            each.alpn.join(' ') || '-',
            each.txt.join(' ') || '-',
          ]),
        ),
      )
    })

  service
    .command('remove')
    .description('announce a service no more')
    .argument('<device>')
    .argument('<type>')
    .argument('[instance]', 'needed where the device has several of the type')
    .action(async (device: string, type: string, instance: string | undefined) => {
      const removed = await cli.call<Service>('service.remove', { device, type, instance })
      cli.print(removed, `"${removed.instance}" of ${removed.device} is announced no more`)
    })
}

const collect = (value: string, all: string[]): string[] => [...all, value]

function port(text: string): number {
  if (!/^\d{1,5}$/.test(text)) throw new InvalidArgumentError('write a number from 1 to 65535')
  return Number(text)
}
