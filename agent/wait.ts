import { setTimeout } from 'node:timers/promises'

/** Lets time pass; rejects with an AbortError as soon as the signal aborts. Tests hand in one that moves their clock. */
export type Wait = (milliseconds: number, signal: AbortSignal | undefined) => Promise<void>

export const realWait: Wait = (milliseconds, signal) =>
  setTimeout(milliseconds, undefined, signal === undefined ? {} : { signal })
