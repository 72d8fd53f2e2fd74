import { Agent, request } from 'node:https'
import { text } from 'node:stream/consumers'

/** What to send, over and over; comes as JSON on standard input. */
export interface PostJob {
  url: string
  headers: Record<string, string>
  body: string
  /** PEM. */
  trusted: string
  certificate: string
  key: string
  /** Kept-alive connections, each with one request under way. */
  connections: number
  seconds: number
  /** No more answers than this are asked for, however fast they come. */
  most: number
}

/** What came of it; goes as JSON to standard output. */
export interface PostResult {
  answered: number
  /** Answers whose status was not 200. */
  refused: number
  seconds: number
  /** Processor time of this client, microseconds. */
  cpu: number
}

// A program of its own: the load must not share a process, let alone an event loop, with anything else.
const job = JSON.parse(await text(process.stdin)) as PostJob
const agent = new Agent({
  keepAlive: true,
  maxSockets: job.connections,
  minVersion: 'TLSv1.3',
  ca: job.trusted,
  cert: job.certificate,
  key: job.key,
})
const body = Buffer.from(job.body)
const headers = { ...job.headers, 'Content-Length': String(body.length) }

await post() // The first connection, before the clock runs.
const result: PostResult = { answered: 0, refused: 0, seconds: 0, cpu: 0 }
const cpu = process.cpuUsage()
const start = performance.now()
const end = start + job.seconds * 1000
await Promise.all(Array.from({ length: job.connections }, postUntilEnd))
result.seconds = (performance.now() - start) / 1000
const used = process.cpuUsage(cpu)
result.cpu = used.user + used.system
agent.destroy()
process.stdout.write(JSON.stringify(result))

async function postUntilEnd(): Promise<void> {
  while (performance.now() < end && result.answered < job.most) {
    const status = await post()
    result.answered++
    if (status !== 200) result.refused++
  }
}

function post(): Promise<number> {
  return new Promise((resolve, reject) => {
    const sent = request(job.url, { method: 'POST', agent, headers }, (response) => {
      response.on('error', reject)
      response.on('end', () => resolve(response.statusCode ?? 0))
      response.resume()
    })
    sent.on('error', reject)
    sent.end(body)
  })
}
