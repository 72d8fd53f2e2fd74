import { runCommandLine } from './daemon/commandLine.ts'

// argv becomes a command; the exit code it returns is the only way this process ends by itself, once
// whoever reads its output has taken all of it, or has gone.
const code = await runCommandLine(process.argv)
process.stdout.on('error', () => process.exit(code))
process.stdout.write('', () => process.exit(code))
