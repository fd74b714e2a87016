#!/usr/bin/env node
import { join } from 'node:path';
import type { CommandIo } from './commands/command-io.ts';
import { runProgram } from './commands/program.ts';
import { errorFacts, type StandardOutputLog } from './log.ts';
import { packageVersion } from './package-version.ts';

/** The only file that reads `process` or ends it. What it starts in has to see to UV_THREADPOOL_SIZE: see entry.cts. */

const FAILED = 1;

let logOutput: StandardOutputLog | undefined;
const outputGone = new AbortController();
const io: CommandIo = {
  environment: process.env,
  workingDir: process.cwd(),
  version: packageVersion(),
  nodeVersion: process.version,
  frontFile: join(import.meta.dirname, 'front-main.js'),
  get stdin() {
    return process.stdin;
  },
  stdout: { write: (text) => void process.stdout.write(text) },
  stderr: { write: (text) => void process.stderr.write(text) },
  isTerminal: process.stdout.isTTY,
  get screen() {
    const { rows, columns } = process.stdout;
    return rows > 0 && columns > 0 ? { rows, columns } : undefined;
  },
  outputGone: outputGone.signal,
  terminal: process.stderr.isTTY ? process.stderr : undefined,
  openLogOutput: async () => (logOutput ??= (await import('./log-output.ts')).standardOutputLog()),
  events: {
    on: (event, listener) => void process.on(event, listener),
    off: (event, listener) => void process.off(event, listener),
  },
};
// Whoever read our output went away (EPIPE): no reason to stop serving, but to stop telling.
process.stdout.on('error', () => outputGone.abort());
process.stderr.on('error', () => undefined);

let code: number;
try {
  code = await runProgram(process.argv.slice(2), io);
} catch (error) {
  process.stderr.write(`entrepot: unexpected error: ${JSON.stringify(errorFacts(error, { stack: true }))}\n`);
  code = FAILED;
}
logOutput?.flushSync();
process.exit(code);
