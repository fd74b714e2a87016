import { ContentError } from '../content/content-error.ts';
import { MetadataError } from '../metadata/metadata-error.ts';
import { StoreOperationError } from './store-operation-error.ts';

/** @throws StoreOperationError `failed` where the store or the index could not do its part; what else `work` fails with */
export async function translated<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (cause) {
    if (cause instanceof MetadataError || cause instanceof ContentError)
      throw new StoreOperationError('failed', cause.message, { cause });
    throw cause;
  }
}
