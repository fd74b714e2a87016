import { readdir, readFile, writeFile } from 'node:fs/promises';
import { isBuiltin } from 'node:module';
import { dirname, join } from 'node:path';
import { expect, it } from 'vitest';
import { ENTRY, EntrepotProcess } from '../support/entrepot-process.ts';
import { tempDir } from '../support/temp-dir.ts';

/** The packages of which a file was loaded by the end, of those that are CommonJS. */
async function packagesLoaded(config: Readonly<Record<string, unknown>>): Promise<ReadonlySet<string>> {
  const directory = await tempDir();
  const [preload, told] = [join(directory, 'preload.cjs'), join(directory, 'loaded')];
  await writeFile(
    preload,
    `process.once('exit', () => require('fs').writeFileSync(${JSON.stringify(told)}, Object.keys(require.cache).join('\\n')));`,
  );
  const entrepot = await EntrepotProcess.start({
    config,
    environment: { NODE_OPTIONS: `--require=${preload}` },
  });
  await entrepot.stop();
  const files = (await readFile(told, 'utf8')).split('\n');
  return new Set(files.flatMap((file) => /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(file)?.[1] ?? []));
}

it('what exports traces is loaded where something is traced, and nowhere else', async () => {
  const exporter = '@opentelemetry/sdk-trace-node';
  const without = await packagesLoaded({});
  expect(without).toContain('better-sqlite3');
  expect(without).not.toContain(exporter);
  const traced = await packagesLoaded({ tracing: { endpoint: 'http://127.0.0.1:1' } });
  expect(traced).toContain(exporter);
});

it('what is built needs no package but those that are installed with it', async () => {
  const directory = dirname(ENTRY);
  const imported = new Set<string>();
  for (const name of await readdir(directory)) {
    if (!name.endsWith('.js')) continue;
    const text = await readFile(join(directory, name), 'utf8');
    for (const [, id = ''] of text.matchAll(/^(?:import|export)\b[^'"\n]*["']([^"'\n]+)["'];$/gm))
      imported.add(id);
    for (const [, id = ''] of text.matchAll(/\b(?:import|require)\(["']([^"'\n]+)["']\)/g)) imported.add(id);
  }
  const { dependencies } = JSON.parse(await readFile(join(directory, '..', 'package.json'), 'utf8')) as {
    readonly dependencies: Readonly<Record<string, string>>;
  };
  const packages = [...imported].filter((id) => !id.startsWith('.') && !isBuiltin(id));
  expect(packages).toContain('better-sqlite3');
  const names = packages.map((id) => /^(?:@[^/]+\/)?[^/]+/.exec(id)?.[0] ?? id);
  expect(Object.keys(dependencies)).toEqual(expect.arrayContaining(names));
});
