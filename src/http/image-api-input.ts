import { z } from 'zod';
import { StoreOperationError } from '../cache/store-operation-error.ts';
import type { ImageSelection } from '../cache/store-operations.ts';
import { digestFrom } from '../oci/digest.ts';
import { isRepositoryName, isTag } from '../oci/reference.ts';
import { digestName, repositoryName, tagName, upstreamName } from './api-input.ts';

const imageError = 'accepted is an image as docker pull takes it, of at most 1024 characters';

export const imageText = z
  .string({ error: imageError })
  .min(1, { error: imageError })
  .max(1024, { error: imageError })
  .meta({ description: 'as `docker pull` takes it', example: 'nginx:1.27' });

/** What is cached, as an operator selects it. */
export const selected = z.strictObject({
  upstream: upstreamName.optional(),
  repository: repositoryName.optional(),
  tag: tagName.optional(),
  digest: digestName.optional(),
});

/** @throws StoreOperationError `invalid` */
export function selectionOf({ upstream, repository, tag, digest }: z.infer<typeof selected>): ImageSelection {
  if (repository !== undefined && upstream === undefined)
    throw new StoreOperationError('invalid', 'upstream: is missing beside repository');
  if ((tag !== undefined || digest !== undefined) && repository === undefined)
    throw new StoreOperationError('invalid', 'repository: is missing beside tag or digest');
  if (tag !== undefined && digest !== undefined)
    throw new StoreOperationError('invalid', 'digest: accepted is a tag or a digest, not both');
  const meant = digestFrom(digest);
  return {
    upstream,
    ...(repository !== undefined && isRepositoryName(repository) && { repository }),
    ...(meant !== undefined && { reference: { digest: meant } }),
    ...(tag !== undefined && isTag(tag) && { reference: { tag } }),
  };
}
