import { expect, test } from '@jest/globals'
import { fuzzDns } from './dnsFuzz.ts'

/** The same packets every time: a run that fails can be run again. `npm run soak` takes other ones. */
const SEED = 20_241_124

test('200,000 damaged messages: no crash, no hang, and every answer is one', async () => {
  const { outcomes } = await fuzzDns({ seed: SEED, packets: 200_000 })
  // What is damaged a little must also reach the zones and come back as an answer, or nothing was tested.
  for (const outcome of ['NOERROR', 'NXDOMAIN', 'FORMERR', 'NOTIMP', 'REFUSED', 'SERVFAIL', 'silence']) {
    expect(outcomes[outcome]).toBeGreaterThan(100)
  }
})
