import { enableCompileCache } from 'node:module'

// Keeps TypeScript without its types from one start to the next; where the folder cannot be written, nothing is kept.
enableCompileCache(new URL('node_modules/.cache/hearth', import.meta.url).pathname)

// argv becomes a command; the exit code it returns is the only way this process ends by itself.
const { runCommandLine } = await import('./daemon/commandLine.ts')
process.exit(await runCommandLine(process.argv))
