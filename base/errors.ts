/**
 * The parent of every failure that a caller handles by kind.
 *
 * Each service narrows `Code` to its own union, so that the table which maps codes to a protocol's
 * errors does not compile while a row is missing. A code never changes meaning; its message may. A
 * message says what happened, to which thing, and what to do about it, and never holds a secret.
 */
export class HearthError<Code extends string = string> extends Error {
  readonly code: Code

  constructor(code: Code, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
    this.name = new.target.name
  }
}

/** The text of anything that was thrown, for a log line or for the cause in another message. */
export function reasonOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown)
}
