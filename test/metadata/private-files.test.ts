import { mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { openLasting } from '../../src/metadata/lasting-database.ts';
import { tempDir } from '../support/temp-dir.ts';

it('a database that is made is for its owner alone, and so are its journals, whoever may look into its directory', async () => {
  const dir = join(await tempDir(), 'open');
  await mkdir(dir, { mode: 0o755 });
  const database = openLasting(join(dir, 'a.sqlite'));
  database.exec('PRAGMA journal_mode = WAL; CREATE TABLE t (n INTEGER); INSERT INTO t VALUES (1)');
  for (const name of ['a.sqlite', 'a.sqlite-wal'])
    expect(((await stat(join(dir, name))).mode & 0o777).toString(8)).toBe('600');
  database.close();
});
