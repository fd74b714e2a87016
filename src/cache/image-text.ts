import { OciError } from '../oci/error.ts';
import { type ImageReference, parseImageReference } from '../oci/image-reference.ts';
import { type NamedUpstream, splitUpstream } from '../oci/named-upstream.ts';
import { StoreOperationError } from './store-operation-error.ts';

/**
 * An image as `docker pull` takes it.
 * @throws StoreOperationError `invalid`, or `not-found` for a host that is no upstream
 */
export function parseImageText(text: string, upstreams: readonly NamedUpstream[]): ImageReference {
  const split = splitUpstream(text, upstreams);
  if ('problem' in split) throw new StoreOperationError('not-found', split.problem);
  try {
    const image = parseImageReference(text, upstreams);
    if (!('problem' in image)) return image;
    throw new StoreOperationError('invalid', `image: ${image.problem}`);
  } catch (error) {
    if (error instanceof OciError) throw new StoreOperationError('invalid', `image: ${error.message}`);
    throw error;
  }
}
