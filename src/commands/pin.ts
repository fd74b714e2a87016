import type { CommandIo } from './command-io.ts';
import { counted } from '../quantity-text.ts';
import { printJson, runOnStore, type StoreCommandOptions } from './store-command.ts';
import { textTable } from './text-table.ts';
import { UsageError } from './usage-error.ts';

export interface PinOptions extends StoreCommandOptions {
  readonly list?: boolean;
}

/** Has an image, or all that a pattern matches, never evicted. @returns the exit code */
export async function pin(
  text: string | undefined,
  { list = false, ...options }: PinOptions,
  io: CommandIo,
): Promise<number> {
  if (list && text === undefined) return pins(options, io);
  return runOnStore(
    options,
    io,
    () => {
      if (text === undefined || list)
        throw new UsageError('accepted is an image or a pattern to pin, or --list');
      return text;
    },
    async (pattern, { operations, signal }) => {
      const change = await operations.pin(pattern, signal);
      if (options.json === true) printJson(change, io);
      else {
        io.stdout.write(`${change.pattern} ${change.changed ? 'is pinned' : 'was pinned already'}.\n`);
        const now = `${counted(change.images, 'cached image')} now, and what is pulled of it later`;
        io.stderr.write(
          change.images === 0
            ? 'Nothing of it is cached yet: it is kept once it is pulled.\n'
            : `That is ${now}.\n`,
        );
      }
      return 0;
    },
  );
}

/** @returns the exit code; 1 when it was not pinned, or the configuration pins it */
export async function unpin(text: string, options: StoreCommandOptions, io: CommandIo): Promise<number> {
  return runOnStore(
    options,
    io,
    () => text,
    async (pattern, { operations, signal }) => {
      const change = await operations.unpin(pattern, signal);
      if (options.json === true) printJson(change, io);
      else if (change.changed) io.stdout.write(`${change.pattern} is pinned no longer.\n`);
      else io.stderr.write(`entrepot: ${change.pattern} is not pinned by a command; see entrepot pins.\n`);
      const [configured] = change.stillPinnedBy;
      if (configured !== undefined)
        io.stderr.write(`entrepot: cache.pins of the configuration has it: ${configured} stays pinned.\n`);
      return change.changed && configured === undefined ? 0 : 1;
    },
  );
}

/** Lists what is pinned. @returns the exit code */
export async function pins(options: StoreCommandOptions, io: CommandIo): Promise<number> {
  return runOnStore(
    options,
    io,
    () => undefined,
    async (_, { operations, signal }) => {
      const found = await operations.pins(signal);
      if (options.json === true) printJson({ pins: found }, io);
      else if (found.length === 0) io.stderr.write('Nothing is pinned.\n');
      else
        io.stdout.write(
          textTable(
            ['pattern', 'from'],
            found.map(({ pattern, source }) => [pattern, source]),
          ),
        );
      return 0;
    },
  );
}
