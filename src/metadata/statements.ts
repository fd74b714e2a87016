import type Database from 'better-sqlite3';
import { prepareBlobStatements } from './blob-statements.ts';
import { prepareForgettingStatements } from './forgetting-statements.ts';
import { prepareImageStatements } from './image-statements.ts';
import { prepareRepositoryStatements } from './repository-statements.ts';

export type Statements = ReturnType<typeof prepareStatements>;

/** Every statement that runs against the index, prepared once, with the types of its parameters and its rows. */
export function prepareStatements(database: Database.Database) {
  return {
    ...prepareBlobStatements(database),
    ...prepareForgettingStatements(database),
    ...prepareImageStatements(database),
    ...prepareRepositoryStatements(database),
  };
}
