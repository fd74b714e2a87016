import type { ImageEntry } from '../cache/store-events.ts';
import { systemClock } from '../clock.ts';
import type { CommandIo } from './command-io.ts';
import { counted, printAge, printBytes } from '../quantity-text.ts';
import { printJson, runOnStore, selectionOf, type StoreCommandOptions } from './store-command.ts';
import { textTable } from './text-table.ts';
import { UsageError } from './usage-error.ts';

export interface ImagesOptions extends StoreCommandOptions {
  readonly sort?: string;
  /** False: digests in full. */
  readonly trunc?: boolean;
}

const ORDERS: Readonly<Record<string, (one: ImageEntry, other: ImageEntry) => number>> = {
  name: (one, other) => (nameOf(one) < nameOf(other) ? -1 : 1),
  size: (one, other) => other.bytes - one.bytes,
  use: (one, other) => other.usedAt - one.usedAt,
};

/** What is cached. @returns the exit code; 1 when nothing is of what was named */
export async function images(
  text: string | undefined,
  { sort = 'name', trunc = true, ...options }: ImagesOptions,
  io: CommandIo,
): Promise<number> {
  return runOnStore(
    options,
    io,
    (config) => {
      const order = Object.hasOwn(ORDERS, sort) ? ORDERS[sort] : undefined;
      if (order === undefined)
        throw new UsageError(`--sort ${sort}: accepted is ${Object.keys(ORDERS).join(', ')}`);
      return { order, selection: selectionOf(text, config) };
    },
    async ({ order, selection }, { operations, signal }) => {
      const found: ImageEntry[] = [];
      for await (const image of operations.images(selection, signal)) found.push(image);
      found.sort(order);
      if (options.json === true) printJson({ images: found }, io);
      else if (found.length === 0) io.stderr.write('Nothing is cached yet.\n');
      else {
        io.stdout.write(tableOf(found, trunc));
        const exclusive = found.reduce((sum, { exclusiveBytes }) => sum + exclusiveBytes, 0);
        const only = `${printBytes(exclusive)} of that used by one image alone`;
        io.stderr.write(`${counted(found.length, 'image')}, ${only}.\n`);
      }
      return 0;
    },
  );
}

function tableOf(found: readonly ImageEntry[], isShort: boolean): string {
  const now = systemClock.now();
  const rows = found.map((image) => [
    image.upstream,
    image.repository,
    image.tags.length === 0 ? '-' : image.tags.join(' '),
    isShort ? shortDigest(image.digest) : image.digest,
    printBytes(image.bytes),
    printBytes(image.exclusiveBytes),
    printAge(image.usedAt, now),
    image.pinned ? 'yes' : '',
  ]);
  return textTable(
    ['upstream', 'repository', 'tags', 'digest', 'size', 'exclusive', 'last use', 'pinned'],
    rows,
  );
}

/** As Docker prints them. */
export function shortDigest(digest: string): string {
  return digest.slice(0, digest.indexOf(':') + 13);
}

function nameOf({ upstream, repository, tags, digest }: ImageEntry): string {
  return `${upstream}/${repository} ${tags[0] ?? ''} ${digest}`;
}
