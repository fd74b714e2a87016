import type { RepositoryName } from '../oci/reference.ts';

/** A repository of one upstream: what access is decided by. */
export interface RepositoryKey {
  readonly upstream: string;
  readonly repository: RepositoryName;
}
