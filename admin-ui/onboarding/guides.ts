import { type Html, html } from '../html.ts'
import type { SystemId } from './systems.ts'

/** What the steps need to know. All of it is public. */
export interface GuideFacts {
  domain: string
  /** How the root names itself, as systems list it. */
  subject: string
  /** 64 upper-case hex digits. */
  sha256: string
  /** Where the reader's browser found this page, without a slash at the end. */
  origin: string
}

/** The steps for one system. */
export interface Guide {
  id: SystemId
  title: string
  /** What is reached by the steps, or left out, in one sentence. */
  summary: Html | string
  steps: readonly Html[]
  /** How sure we are, and what to know besides. */
  notes: readonly (Html | string)[]
}

const NOT_MEASURED =
  'We follow the makers’ documentation here and have not tried these steps on a device ourselves: a menu may be named differently on yours.'

/** Commands to copy whole, one a line; a line too long for the screen continues indented. */
function commands(...lines: readonly string[]): Html {
  return html`<pre class="command"><code>${lines.map((line) => html`<span>${`${line}\n`}</span>`)}</code></pre>`
}

export function guides({ domain, subject, sha256, origin }: GuideFacts): Guide[] {
  // NSS refuses a second certificate of the same nickname: a new root must not collide with the old one.
  const nickname = `Hearth ${domain} ${sha256.slice(0, 8)}`
  const fileName = `hearth-${sha256.slice(0, 8).toLowerCase()}.crt`
  const download = {
    profile: html`<a class="button" href="/root.mobileconfig">Download the profile</a>`,
    certificate: html`<a class="button" href="/root.crt" download="hearth-root.crt">Download the certificate</a>`,
    pem: html`<a class="button" href="/root.pem" download="hearth-root.pem">Download the certificate</a>`,
  }

  return [
    {
      id: 'ios',
      title: 'iPhone and iPad',
      summary: 'Two parts: install the profile, then switch trust on. The second is easily missed.',
      steps: [
        html`In Safari: ${download.profile} and tap <b>Allow</b>.`,
        html`Open <b>Settings</b>. Tap <b>Profile Downloaded</b> near the top, or find the profile under <b>General › VPN &amp; Device Management</b>.`,
        html`Tap <b>Install</b> and follow the questions. The profile is shown as “Not Signed”: nobody can vouch for your home but you. Under <b>More Details</b> you can see the certificate before you go on.`,
        html`Go to <b>Settings › General › About › Certificate Trust Settings</b> and switch on <b>${subject}</b>.`,
      ],
      notes: [NOT_MEASURED],
    },
    {
      id: 'macos',
      title: 'Mac',
      summary: 'Safari and Chrome follow the system; Firefox takes over what you add here.',
      steps: [
        html`${download.profile}`,
        html`Open <b>System Settings › General › Device Management</b> (in older versions <b>Privacy &amp; Security › Profiles</b>), double-click the profile and choose <b>Install</b>.`,
        html`Open the app <b>Keychain Access</b>, search for <b>${subject}</b> and double-click it. Compare its SHA-256 fingerprint, then under <b>Trust</b> choose <b>Always Trust</b>.`,
      ],
      notes: [
        html`With Terminal instead of the three steps; compare the fingerprint before the last line: ${commands(
          `curl -fsS -o hearth-root.crt ${origin}/root.crt`,
          `shasum -a 256 hearth-root.crt`,
          `sudo security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain hearth-root.crt`,
        )}`,
        NOT_MEASURED,
      ],
    },
    {
      id: 'android',
      title: 'Android',
      summary: 'Chrome accepts the certificate; most other apps ignore certificates that people add.',
      steps: [
        html`${download.certificate}`,
        html`Open <b>Settings</b> and search for <b>CA certificate</b>. Usually it is under <b>Security &amp; privacy › More security settings › Encryption &amp; credentials › Install a certificate</b>.`,
        html`Choose <b>CA certificate</b>, then <b>Install anyway</b>, and pick the file <b>hearth-root.crt</b>.`,
        html`To compare: <b>Encryption &amp; credentials › Trusted credentials › User</b>, tap the entry, and look at its SHA-256 fingerprint.`,
      ],
      notes: [
        'Android warns that your traffic could be watched. It says so of every certificate that people add.',
        'No page may open these settings for you, so the way there is on foot.',
        'Firefox may need one more switch: tap its logo under Settings › About Firefox five times, then allow third-party CA certificates under Settings › Secret Settings.',
        NOT_MEASURED,
      ],
    },
    {
      id: 'windows',
      title: 'Windows',
      summary: 'Edge and Chrome follow the system; Firefox takes over what you add here.',
      steps: [
        html`${download.certificate}`,
        html`Compare the fingerprint. In the folder with the file, click into the address bar, type <b>cmd</b>, press Enter, and run: ${commands('certutil -hashfile hearth-root.crt SHA256')}`,
        html`Double-click the file, then <b>Install Certificate… › Current User › Place all certificates in the following store › Browse… › Trusted Root Certification Authorities</b>.`,
        html`Windows asks once more and shows a <i>thumbprint</i>, a shorter number than the fingerprint you compared. Choose <b>Yes</b>.`,
      ],
      notes: [NOT_MEASURED],
    },
    {
      id: 'chrome',
      title: 'Chrome, Chromium, Edge and Brave on Linux',
      summary: html`These browsers do <b>not</b> use the system’s certificates on Linux. They read a list of their own.`,
      steps: [
        html`Open a terminal, fetch the certificate and show its fingerprint: ${commands(
          `curl -fsS -o hearth-root.pem ${origin}/root.pem`,
          `openssl x509 -in hearth-root.pem -noout -fingerprint -sha256`,
        )}`,
        html`Compare the fingerprint. If it is the same, add the certificate. The tool for it is in the package <code>libnss3-tools</code> (Debian, Ubuntu), <code>nss-tools</code> (Fedora) or <code>nss</code> (Arch). ${commands(
          `mkdir -p $HOME/.pki/nssdb`,
          `certutil -d sql:$HOME/.pki/nssdb -A -t C,, -n "${nickname}" -i hearth-root.pem`,
        )}`,
        html`Close the browser completely and open it again.`,
      ],
      notes: [
        html`Without a terminal: open <code>chrome://certificate-manager</code>, then <b>Local certificates › Installed by you › Trusted Certificates › Import</b>. That is also the way for a browser from Snap or Flatpak, which keeps its own files.`,
        html`To remove it again: ${commands(`certutil -d sql:$HOME/.pki/nssdb -D -n "${nickname}"`)}`,
        'On Windows, Mac and Android, Chrome follows the system: use the steps for that.',
      ],
    },
    {
      id: 'firefox',
      title: 'Firefox',
      summary: html`On Linux, Firefox keeps a list of its own. On Windows, Mac and Android it takes over what you add to the system.`,
      steps: [
        html`${download.pem}`,
        html`Open <b>Settings › Privacy &amp; Security › Certificates › View Certificates… › Authorities › Import…</b> and pick the file.`,
        html`Choose <b>View</b> and compare the SHA-256 fingerprint. Then tick <b>Trust this CA to identify websites</b> and confirm.`,
      ],
      notes: ['Each Firefox profile has its own list. Restart Firefox if the check below still says no.'],
    },
    {
      id: 'linux',
      title: 'Linux system store',
      summary: html`For <code>curl</code>, <code>git</code>, package managers and other programs. <b>Browsers do not read it:</b> use the steps for Chrome or Firefox as well.`,
      steps: [
        html`Fetch the certificate and show its fingerprint: ${commands(
          `curl -fsS -o hearth-root.pem ${origin}/root.pem`,
          `openssl x509 -in hearth-root.pem -noout -fingerprint -sha256`,
        )}`,
        html`Compare the fingerprint. If it is the same, on Debian, Ubuntu and Raspberry Pi OS: ${commands(
          `sudo install -m 644 hearth-root.pem /usr/local/share/ca-certificates/${fileName}`,
          `sudo update-ca-certificates`,
        )} On Fedora and Arch: ${commands('sudo trust anchor hearth-root.pem')}`,
      ],
      notes: [
        html`To remove it again: delete the file and run <code>sudo update-ca-certificates --fresh</code>, or <code>sudo trust anchor --remove hearth-root.pem</code>.`,
      ],
    },
  ]
}
