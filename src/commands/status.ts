import { systemClock } from '../clock.ts';
import type { CommandIo } from './command-io.ts';
import { type FoundActivity, HISTORY_MS } from './status-activity.ts';
import { type FoundStatus, printStatus } from './status-text.ts';
import { runOnStore, type StoreCommandContext, type StoreCommandOptions } from './store-command.ts';

export interface StatusOptions extends StoreCommandOptions {
  readonly watch?: boolean;
}

const EVERY_MS = 2000;
const KEEP_ALIVE_MS = 60_000;
/** To the corner; what follows a line, and what follows the last one, is cleared: nothing flickers. */
const HOME = '\u001B[H';
const CLEAR_LINE = '\u001B[K';
const CLEAR_BELOW = '\u001B[J';
const CLEAR_SCREEN = '\u001B[2J';

/** What the store holds, how it is, and what goes on, once or every two seconds. @returns the exit code */
export async function status(options: StatusOptions, io: CommandIo): Promise<number> {
  const show = (write: (text: string) => void): Promise<number> =>
    runOnStore(
      options,
      io,
      ({ dataDir }) => dataDir,
      async (dataDir, context) => {
        const found = await find(dataDir, context);
        write(options.json === true ? `${json(found)}\n` : printStatus(found));
        return 0;
      },
    );
  return options.watch === true ? watch(show, io) : show((text) => io.stdout.write(text));
}

/** Each time anew, so that nothing is held in between, and a server that is started anew is found. */
async function watch(
  show: (write: (text: string) => void) => Promise<number>,
  io: CommandIo,
): Promise<number> {
  const ending = new AbortController();
  const end = (): void => ending.abort();
  io.events.on('SIGINT', end);
  io.events.on('SIGTERM', end);
  io.outputGone?.addEventListener('abort', end);
  const alive = setInterval(() => undefined, KEEP_ALIVE_MS);
  let blocks = 0;
  const write = (text: string): void => {
    io.stdout.write(
      io.isTerminal ? frame(fitting(text, io), blocks === 0) : `${blocks === 0 ? '' : '\n'}${text}`,
    );
    blocks += 1;
  };
  try {
    for (;;) {
      const code = await show(write);
      if (ending.signal.aborted) return 0;
      // Later on a server may be away for a moment.
      if (code !== 0 && blocks === 0) return code;
      await systemClock.sleep(EVERY_MS, ending.signal).catch(() => undefined);
      if (ending.signal.aborted) return 0;
    }
  } finally {
    clearInterval(alive);
    io.events.off('SIGINT', end);
    io.events.off('SIGTERM', end);
    io.outputGone?.removeEventListener('abort', end);
  }
}

/** What is longer than the screen would scroll it, and the next frame would not lie on this one. */
function fitting(text: string, { screen }: CommandIo): string {
  if (screen === undefined) return text;
  const lines = text.split('\n').slice(0, screen.rows - 1);
  return lines.map((line) => line.slice(0, screen.columns)).join('\n');
}

function frame(text: string, isFirst: boolean): string {
  return `${isFirst ? CLEAR_SCREEN : ''}${HOME}${text.replaceAll('\n', `${CLEAR_LINE}\n`)}${CLEAR_BELOW}`;
}

async function find(
  dataDir: string,
  { operations, upstreams, activity, signal }: StoreCommandContext,
): Promise<FoundStatus> {
  const found = await operations.status(signal);
  if (upstreams === undefined) return { dataDir, status: found };
  const [standings, history, live] = await Promise.all([
    upstreams.upstreams(signal),
    activity.history({ sinceMs: HISTORY_MS }, signal),
    activity.live(signal),
  ]);
  const told: FoundActivity = { upstreams: standings, history, live };
  return { dataDir, status: found, activity: told };
}

function json({ dataDir, status: found, activity }: FoundStatus): string {
  return JSON.stringify({ dataDir, ...found, ...activity }, null, 2);
}
