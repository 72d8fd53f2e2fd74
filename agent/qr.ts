import { AgentError } from './errors.ts'

/** What a QR code of the gateway holds, in the form that `enroll` takes. */
export interface QrContents {
  /** `https://host:port` of the EST listener. */
  gateway: string
  /** SHA-256 of the root's DER, hexadecimal. */
  fingerprint: string
  /** `ID:TOKEN`. */
  token: string
  /** When the token runs out, in milliseconds; the gateway decides, by its own clock. */
  expires: number
}

const SHAPE =
  /^HGW1:(?<authority>[^;/@\s]+:\d{1,5});(?<root>[\w-]{43});(?<id>[\w-]{1,64});(?<token>[\w-]{22,64});(?<expiry>\d{1,12})$/

/**
 * Reads `HGW1:<host:port>;<rootSHA256 b64url>;<id>;<128-bit token>;<expiry unix seconds>`.
 *
 * The text holds a secret, so the error does not repeat it.
 *
 * @throws {AgentError} `INPUT_INVALID` if it is anything else.
 */
export function parseQr(text: string): QrContents {
  const parts = SHAPE.exec(text.trim())?.groups
  if (parts === undefined) {
    throw new AgentError(
      'INPUT_INVALID',
      'this is not a QR code of a Hearth gateway (HGW1:host:port;root;id;token;expiry); scan it again, all of it',
    )
  }
  return {
    gateway: `https://${parts.authority}`,
    fingerprint: Buffer.from(parts.root!, 'base64url').toString('hex'),
    token: `${parts.id}:${parts.token}`,
    expires: Number(parts.expiry) * 1000,
  }
}
