import { resolve } from 'node:path';
import { writeInventory } from '../bundle/inventory.ts';
import { systemClock } from '../clock.ts';
import { prepareOutput } from '../oci-layout/layout-output.ts';
import type { CommandIo } from './command-io.ts';
import { counted, printBytes } from '../quantity-text.ts';
import { printJson, runOnStore, type StoreCommandOptions } from './store-command.ts';

export interface InventoryOptions extends StoreCommandOptions {
  readonly output: string;
  readonly force?: boolean;
}

/** Writes down what is stored here, for exports at another site. @returns the exit code */
export async function inventory(
  { output, force = false, ...options }: InventoryOptions,
  io: CommandIo,
): Promise<number> {
  return runOnStore(
    options,
    io,
    () => resolve(io.workingDir, output),
    async (path, { contents, signal }) => {
      await prepareOutput({ path, format: 'tar', force });
      const facts = { createdAt: systemClock.now(), createdBy: `entrepot ${io.version}` };
      const { count, sizeBytes } = await writeInventory(path, contents, facts, signal);
      if (options.json === true) printJson({ path, count, sizeBytes }, io);
      else io.stdout.write(`${path}: ${counted(count, 'blob')} in ${printBytes(sizeBytes)}.\n`);
      return 0;
    },
  );
}
