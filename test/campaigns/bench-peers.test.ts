import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { BENCH_ROOT, builtBench } from '../support/built-bench.ts';
import { ChildProgram } from '../support/child-program.ts';
import { describeWith } from '../support/programs.ts';
import { tempDir } from '../support/temp-dir.ts';

/** The real bench as a child, in its smallest form: entrepot and one peer, one workload, two rounds. */

const PATIENCE_MS = 3 * 60_000;

let main = '';

describeWith({ programs: ['nginx', 'docker-registry'] }, 'a bench of entrepot beside its peers', () => {
  beforeAll(async () => {
    main = await builtBench('.bench/peers-test');
  }, PATIENCE_MS);

  it(
    'measures both in the same rounds, and prints and writes what it found',
    async () => {
      const { said, result } = await bench({});
      expect(said).toMatch(/^docker-registry: .*2\.8/m);
      expect(said).not.toMatch(/^(zot|nginx): /m);
      const figures = result.results['peer-cold']?.figures?.map(({ figure }) => figure) ?? [];
      const values = (of: string, name: string) =>
        figures.find((figure) => figure.of === of && figure.name === name)?.values ?? [];
      for (const of of ['entrepot', 'docker-registry'])
        for (const name of ['pull', 'CPU', 'peak memory']) {
          expect(values(of, name), `${of}: ${name}`).toHaveLength(2);
          for (const value of values(of, name)) expect(value).toBeGreaterThan(0);
        }
      expect(values('entrepot', 'upstream bytes')).toEqual([1, 1]);
      for (const value of values('docker-registry', 'upstream bytes'))
        expect(value).toBeGreaterThanOrEqual(1);
      expect(said).toMatch(/^\|  \| entrepot \| docker-registry \|$/m);
      expect(said).toMatch(/Command: `npm run bench -- --quick --only peer-cold .*`\.$/m);
    },
    PATIENCE_MS,
  );

  it(
    'names a peer that does not start, and measures the others',
    async () => {
      const directory = await tempDir();
      const broken = join(directory, 'docker-registry');
      await writeFile(broken, '#!/bin/sh\necho it is broken\nexit 1\n');
      await chmod(broken, 0o755);
      const { said, result } = await bench({ PATH: `${directory}:${process.env['PATH'] ?? ''}` });
      expect(said).toMatch(/docker-registry is left out: .*ended: it is broken/);
      const measured = result.results['peer-cold']?.figures?.map(({ figure }) => figure.of) ?? [];
      expect(measured).toContain('entrepot');
      expect(measured).not.toContain('docker-registry');
    },
    PATIENCE_MS,
  );
});

interface Result {
  readonly results: Readonly<
    Record<
      string,
      {
        readonly figures?: readonly {
          readonly figure: {
            readonly name: string;
            readonly of?: string;
            readonly values: readonly number[];
          };
        }[];
      }
    >
  >;
}

async function bench(environment: Readonly<Record<string, string>>) {
  const file = join(await tempDir(), 'result.json');
  const args = ['--quick', '--only', 'peer-cold', '--peer', 'docker-registry', '--json', file, '--markdown'];
  const program = new ChildProgram(process.execPath, [main, ...args], {
    environment: { ...process.env, ...environment },
    workingDir: BENCH_ROOT,
  });
  expect(await program.ended).toEqual({ code: 0, signal: null });
  return { said: program.stdout, result: JSON.parse(await readFile(file, 'utf8')) as Result };
}
