import { createHash } from 'node:crypto'
import { html } from '../html.ts'
import { fingerprintGroups } from './fingerprint.ts'

export interface ProfileOptions {
  /** The household's domain, `home.arpa`. */
  domain: string
  /** How the root names itself, shown by the system. */
  subject: string
  der: Buffer
  /** 64 upper-case hex digits. */
  sha256: string
}

/**
 * An Apple configuration profile that offers the root to iOS, iPadOS and macOS.
 *
 * Its identifiers come from the fingerprint: installing the same root again replaces the profile, and a
 * new root stands beside the old one until that is removed. It is not signed, as the only key that
 * could sign it is the one that it introduces; the system shows it as "Not Signed".
 *
 * @see Apple, Device Management: TopLevel, CertificateRoot.
 */
export function mobileconfig({ domain, subject, der, sha256 }: ProfileOptions): Buffer {
  const identifier = `${domain.split('.').reverse().join('.')}.hearth.root.${sha256.slice(0, 16).toLowerCase()}`
  const base64 = der.toString('base64').replace(/.{64}/g, '$&\n')
  const description = `Lets this device recognise the devices of ${domain}. SHA-256 fingerprint: ${fingerprintGroups(sha256).join(' ')}`
  const profile = html`<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
  <key>PayloadContent</key>
  <array>
    <dict>
      <key>PayloadCertificateFileName</key>
      <string>root.crt</string>
      <key>PayloadContent</key>
      <data>
${base64}
      </data>
      <key>PayloadDescription</key>
      <string>${description}</string>
      <key>PayloadDisplayName</key>
      <string>${subject}</string>
      <key>PayloadIdentifier</key>
      <string>${identifier}.certificate</string>
      <key>PayloadType</key>
      <string>com.apple.security.root</string>
      <key>PayloadUUID</key>
      <string>${uuidFrom(sha256, 'certificate')}</string>
      <key>PayloadVersion</key>
      <integer>1</integer>
    </dict>
  </array>
  <key>PayloadDescription</key>
  <string>${description}</string>
  <key>PayloadDisplayName</key>
  <string>The home root of ${domain}</string>
  <key>PayloadIdentifier</key>
  <string>${identifier}</string>
  <key>PayloadOrganization</key>
  <string>Hearth, ${domain}</string>
  <key>PayloadRemovalDisallowed</key>
  <false/>
  <key>PayloadType</key>
  <string>Configuration</string>
  <key>PayloadUUID</key>
  <string>${uuidFrom(sha256, 'profile')}</string>
  <key>PayloadVersion</key>
  <integer>1</integer>
</dict>
</plist>
`
  return Buffer.from(profile.toString(), 'utf8')
}

/** A UUID that is always the same for the same root and purpose: RFC 9562 section 5.8, version 8. */
function uuidFrom(sha256: string, purpose: string): string {
  const octets = createHash('sha256').update(`hearth ${purpose} ${sha256}`).digest().subarray(0, 16)
  octets[6] = (octets[6]! & 0x0f) | 0x80
  octets[8] = (octets[8]! & 0x3f) | 0x80
  return octets
    .toString('hex')
    .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
    .toUpperCase()
}
