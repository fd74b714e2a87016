import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';

const README = new URL('./README.md', import.meta.url);

test('every test that the table of threats and faults names exists, and no row is without one', async () => {
  const rows = (await readFile(README, 'utf8')).match(/^\| [TF]\d+ .*$/gm) ?? [];
  expect(rows.length).toBeGreaterThan(50);
  for (const row of rows) {
    const covered = [...row.matchAll(/`(test\/[^`]+)`: “([^”]+)”/g)];
    expect(covered.length > 0 || /issue [4-8]/.test(row), row).toBe(true);
    // A file that is named without its test would not be looked for.
    expect(row.match(/`test\//g) ?? [], row).toHaveLength(covered.length);
    for (const [, path = '', name = ''] of covered) {
      const text = await readFile(new URL(`../${path}`, README), 'utf8');
      expect(text.includes(name), `${path}: ${name}`).toBe(true);
    }
  }
});
