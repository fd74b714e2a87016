import type { CommandIo } from './command-io.ts';

/** What moves the cursor, changes what a terminal shows, or the order in which words stand. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/** Names come from archives, registries and files of others: such characters of them are told as JSON has them. Lines end, tabs stay. */
export function printable(text: string): string {
  return text.replaceAll(UNPRINTABLE, (found) => (found === '\n' || found === '\t' ? found : escaped(found)));
}

/** Of a message with names in it: they cannot begin a line of their own. */
export function oneLine(text: string): string {
  return text.replaceAll(UNPRINTABLE, (found) => escaped(found));
}

/** The same place to write to, for text of any origin. Bars of progress have a stream of their own. */
export function withPrintableText(io: CommandIo): CommandIo {
  const { environment, workingDir, version, nodeVersion, frontFile, stdout, stderr } = io;
  const { isTerminal, terminal, outputGone, openLogOutput, events } = io;
  return {
    environment,
    workingDir,
    version,
    nodeVersion,
    frontFile,
    isTerminal,
    terminal,
    outputGone,
    openLogOutput,
    events,
    // Opened when it is first asked for.
    get stdin() {
      return io.stdin;
    },
    // It changes its size.
    get screen() {
      return io.screen;
    },
    stdout: { write: (text) => stdout.write(printable(text)) },
    stderr: { write: (text) => stderr.write(printable(text)) },
  };
}

function escaped(character: string): string {
  return character
    .split('')
    .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
    .join('');
}
