import { fingerprintWords } from '../admin-ui/onboarding/fingerprint.ts'
import { facts, grouped } from './cli.ts'
import type { StatusReport } from './status.ts'

/**
 * What a person sees when the gateway has started: where everything is, and how to come from here to a
 * first device that opens in a browser, with commands ready to copy.
 *
 * `test/e2e/greeting.test.ts` runs these commands as they are printed.
 */
export function greeting(status: StatusReport, first: boolean): string {
  const { gateway, listeners, root, dns, domain } = status
  const address = gateway.addresses[0] ?? '127.0.0.1'
  const host = bracketed(address)
  const port = (url: string, usual: string): string => new URL(url).port || usual
  const server = dns.addresses[0] === '0.0.0.0' || dns.addresses[0] === '::' ? address : dns.addresses[0]
  return `
Hearth ${status.version} is running.${first ? ' This was its first start: it made the root certificate of this home.' : ''}

${facts([
  ['  Console', `${listeners.https}/`],
  ['  Trust this home', `${listeners.http}/   (by address: http://${host}:${port(listeners.http, '80')}/)`],
  ['  Enrollment (EST)', listeners.est],
  ['  DNS', `${dns.addresses.map(bracketed).join(', ')} port ${dns.port}, for ${domain}`],
  ['  State', status.dataDir],
])}

  Fingerprint of the root (SHA-256); compare it wherever you trust the root:
    ${grouped(root.sha256.slice(0, 32))}
    ${grouped(root.sha256.slice(32))}
    ${fingerprintWords(root.sha256).join(' ')}

Next, in another terminal, here:

  1. Add a device. This prints its credential, an ID:TOKEN.
       bin/hearth device add printer --address ${address}

  2. Enroll it, as if this machine were the printer. Put its credential in place of ID:TOKEN.
       bin/hearth enroll --gateway https://${host}:${port(listeners.est, '443')} \\
         --fingerprint ${root.sha256} \\
         --token ID:TOKEN --out ./printer

  3. See its name
       dig @${server} -p ${dns.port} printer.${domain} +short

  4. Give it a page. Any server will do; this one stays until Ctrl-C.
       node -e 'https.createServer({ key: fs.readFileSync("printer/key.pem"), cert: fs.readFileSync("printer/fullchain.pem") },
         (_, page) => page.end("Hello from the printer")).listen(4443)'

  5. In a third terminal, trust the root in Chromium, and open the page: no warning.
       bin/hearth ca root > root.pem
       mkdir -p "$HOME/.pki/nssdb"
       certutil -d "sql:$HOME/.pki/nssdb" -A -t C,, -n "${root.subject}" -i root.pem
       chromium --host-resolver-rules="MAP *.${domain} ${host}" https://printer.${domain}:4443/

  certutil is in Debian's libnss3-tools. For phones and other browsers, open "Trust this home" there.
  To take the device away again: bin/hearth device remove printer

Stop with Ctrl-C.`
}

function bracketed(address: string): string {
  return address.includes(':') ? `[${address}]` : address
}
