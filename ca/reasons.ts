/**
 * The reasons that a household may give for a revocation (CRLReason, RFC 5280 section 5.3.1).
 *
 * Left out: those that belong to CAs, and certificateHold, which could be taken back while revocation
 * here is final.
 */
export const REVOCATION_REASONS = {
  unspecified: 0,
  keyCompromise: 1,
  affiliationChanged: 3,
  superseded: 4,
  cessationOfOperation: 5,
  privilegeWithdrawn: 9,
} as const

export type RevocationReason = keyof typeof REVOCATION_REASONS

/** The name of a recorded reason code. */
export function reasonName(code: number): string {
  return Object.entries(REVOCATION_REASONS).find(([, value]) => value === code)?.[0] ?? String(code)
}
