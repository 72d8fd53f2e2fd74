import { writeSync } from 'node:fs'
import { TestHome } from '../support/testHome.ts'

/*
 * A gateway's CA that does nothing but issue, eight at a time, and tells each serial on standard output
 * the moment it is released. It ends when it is killed.
 */
const home = await TestHome.open(process.argv[2]!)
const deviceId = await home.addDevice(`device-${process.pid}.home.arpa`)

async function issueForever(): Promise<never> {
  for (;;) {
    const { serial } = await home.issue('nas.home.arpa', { deviceId })
    writeSync(1, `${serial}\n`)
  }
}

await Promise.all(Array.from({ length: 8 }, issueForever))
