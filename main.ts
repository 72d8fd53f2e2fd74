import { runCommandLine } from './daemon/commandLine.ts'

// argv becomes a command; the exit code it returns is the only way this process ends by itself.
process.exit(await runCommandLine(process.argv))
