import { SECOND } from '../base/clock.ts'

/** Whoever asks for health wants to know within a moment. */
const PATIENCE = 2 * SECOND

/** Looks at each part, and names those that fail or take too long. */
export async function failingParts(parts: Record<string, () => Promise<unknown>>): Promise<string[]> {
  const looked = await Promise.all(
    Object.entries(parts).map(async ([name, look]) => ((await isWell(look)) ? [] : [name])),
  )
  return looked.flat()
}

async function isWell(look: () => Promise<unknown>): Promise<boolean> {
  const { promise: late, resolve } = Promise.withResolvers<boolean>()
  const timer = setTimeout(() => resolve(false), PATIENCE)
  try {
    return await Promise.race([
      look().then(
        () => true,
        () => false,
      ),
      late,
    ])
  } finally {
    clearTimeout(timer)
  }
}
