import { setTimeout as sleep } from 'node:timers/promises'

/** Looks again and again until it is so; gives up after `seconds`. */
export async function waitFor(isSo: () => boolean | Promise<boolean>, seconds = 40): Promise<void> {
  for (const end = performance.now() + seconds * 1000; performance.now() < end; await sleep(50)) {
    if (await isSo()) return
  }
  throw new Error(`it did not come true within ${seconds} seconds: ${isSo}`)
}
