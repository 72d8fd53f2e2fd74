import { monotonicFactory } from 'ulid'

/** A ULID that sorts behind every earlier one of this process, also within one millisecond. */
export const newId: (now: number) => string = monotonicFactory()
