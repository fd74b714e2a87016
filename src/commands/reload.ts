import { StoreOperationError } from '../cache/store-operation-error.ts';
import type { CommandIo } from './command-io.ts';
import { printJson, runOnStore, type StoreCommandOptions } from './store-command.ts';

/** Has a running server take its configuration again. @returns the exit code; 2 when it is refused */
export async function reload(options: StoreCommandOptions, io: CommandIo): Promise<number> {
  return runOnStore(
    options,
    io,
    () => undefined,
    async (_, { config, reload: server, signal }) => {
      if (server === undefined)
        throw new StoreOperationError('not-found', `no server uses ${config.dataDir}`);
      const result = await server.reload(signal);
      if (options.json === true) printJson(result, io);
      else if (result.changed.length === 0) io.stdout.write('Nothing is other than before.\n');
      else io.stdout.write(`${result.changed.join('\n')}\n`);
      return 0;
    },
  );
}
