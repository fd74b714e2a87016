import { stat } from 'node:fs/promises';
import { StoreOperationError } from '../cache/store-operation-error.ts';
import type { Config } from '../config.ts';
import { DataDirectoryLock } from '../metadata/data-directory-lock.ts';
import { MetadataError } from '../metadata/metadata-error.ts';
import { StartError } from '../start-error.ts';
import type { CommandIo } from './command-io.ts';
import type { StoreAccess } from './store-access.ts';

export interface AccessOptions {
  /** Where there is no data directory, one is made: only a command that brings something in does that. */
  readonly mayBegin?: boolean;
}

/**
 * The store of the configuration's data directory: through the server that holds it, or else the directory itself, under
 * the same lock. Of the two ways only the one that is gone is loaded.
 * @throws StoreOperationError, StartError
 */
export async function accessStore(
  config: Config,
  io: CommandIo,
  { mayBegin = false }: AccessOptions = {},
): Promise<StoreAccess> {
  if (!mayBegin) await assertThere(config.dataDir);
  if (!DataDirectoryLock.isHeld(config.dataDir)) {
    const { openLocalAccess } = await import('./local-access.ts');
    try {
      return await openLocalAccess(config, io);
    } catch (error) {
      // Somebody began meanwhile.
      if (!isInUse(error)) throw error;
    }
  }
  if (config.admin.listen.port === 0) {
    throw new StoreOperationError(
      'unreachable',
      `a server uses ${config.dataDir}, and cannot be asked: admin.listen has port 0, which is any`,
    );
  }
  const { remoteAccess } = await import('./remote-access.ts');
  return remoteAccess(config);
}

/** A command that only looks must not begin a cache where there is none. */
async function assertThere(dataDir: string): Promise<void> {
  try {
    await stat(dataDir);
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
    if (code !== 'ENOENT')
      throw new StoreOperationError(
        'failed',
        `the data directory ${dataDir} cannot be read (${String(code)})`,
      );
    throw new StoreOperationError(
      'not-found',
      `there is no data directory ${dataDir}: nothing was cached there yet, or dataDir is another one`,
    );
  }
}

function isInUse(error: unknown): boolean {
  return (
    error instanceof StartError && error.cause instanceof MetadataError && error.cause.reason === 'in-use'
  );
}
