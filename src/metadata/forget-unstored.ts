import type { RepositoryName } from '../oci/reference.ts';
import type { IndexConnection } from './index-connection.ts';
import type { ForgettingPlace, ForgettingSlice } from './metadata-store.ts';
import type { Statements } from './statements.ts';

/** Rows looked at in one turn of the event loop: some milliseconds. */
const CONTENTS_AT_ONCE = 200;
const REPOSITORIES_AT_ONCE = 100;

export function lastPlace({ lastContent, lastRepository }: Statements): ForgettingPlace {
  return { content: lastContent.get()?.id ?? 0, repository: lastRepository.get()?.id ?? 0 };
}

/** Within a transaction: first contents, then the repositories that are left with nothing. */
export function forgetUnstored(
  connection: IndexConnection,
  { after, until, before }: ForgettingSlice,
): { readonly forgotten: number; readonly next: ForgettingPlace | undefined } {
  const { statements } = connection;
  if (after.content < until.content) {
    const content = endOfSlice(statements, after.content, until.content);
    const found = statements.forgettable.all({ after: after.content, until: content, before });
    for (const { id } of found) {
      statements.deleteHoldingsOf.run(id);
      statements.deleteEveryTagOf.run(id);
      statements.deleteReferrersOf.run(id);
      statements.deleteLinks.run(id);
      statements.deleteContent.run(id);
    }
    return { forgotten: found.length, next: { content, repository: after.repository } };
  }
  const repository = Math.min(until.repository, after.repository + REPOSITORIES_AT_ONCE);
  for (const { id, upstream, name } of statements.emptyRepositories.all({
    after: after.repository,
    until: repository,
    before,
  })) {
    statements.deleteRepository.run(id);
    connection.forgetRepositoryId({ upstream, repository: name as RepositoryName });
  }
  const isEnd = repository >= until.repository;
  return { forgotten: 0, next: isEnd ? undefined : { content: after.content, repository } };
}

/** Numbers of what was forgotten are gone, so slices are of rows, not of numbers. */
function endOfSlice({ contentNumber }: Statements, after: number, until: number): number {
  return contentNumber.get({ after, until, offset: CONTENTS_AT_ONCE - 1 })?.id ?? until;
}
