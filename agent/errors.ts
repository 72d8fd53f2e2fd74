import { HearthError } from '../base/errors.ts'

/** Every failure of the device side. A code never changes meaning; its message may. */
export type AgentErrorCode =
  /** An option is unusable: URL, fingerprint, token or QR text. */
  | 'INPUT_INVALID'
  /** The gateway's root is not the pinned one. */
  | 'ROOT_MISMATCH'
  /** No connection, or it broke off. */
  | 'UNREACHABLE'
  /** Whoever answers has no certificate from the pinned root, or one for another name. */
  | 'GATEWAY_UNTRUSTED'
  /** The reply is no EST reply: too long, not base64, a redirect... */
  | 'REPLY_INVALID'
  /** The gateway does not know the credential. */
  | 'UNAUTHORIZED'
  /** The gateway knows who asks and says no. */
  | 'REFUSED'
  /** The gateway has a problem of its own. */
  | 'GATEWAY_FAILED'
  /** Nobody approved the device in time. */
  | 'NOT_APPROVED'
  /** The wanted name is none of the device's. */
  | 'NAME_NOT_ASSIGNED'
  /** The certificate that came back is not the one that was asked for. */
  | 'CERTIFICATE_REFUSED'
  /** The directory holds no certificate from an enrollment. */
  | 'NOT_ENROLLED'
  /** The certificate expired too long ago to renew. */
  | 'EXPIRED'
  /** The directory cannot be read or written, or holds files that are not ours. */
  | 'FILES_FAILED'
  /** Another process is at work in the directory. */
  | 'BUSY'
  /** The certificate is renewed, but the hook failed. */
  | 'HOOK_FAILED'

export class AgentError extends HearthError<AgentErrorCode> {}
