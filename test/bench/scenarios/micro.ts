import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Bench } from 'tinybench';
import type { Calculation } from '../calculation.ts';
import type { Figure } from '../figure.ts';
import { openHotFunctions } from '../hot-functions.ts';
import { undoAtExit } from '../leftovers.ts';

const ROUNDS = 5;
const QUICK_ROUNDS = 2;
const TIME_MS = 300;
const NS_PER_MS = 1e6;

/** What each function costs that a warm request passes: to see what a change did, not to compare machines. */
export const micro: Calculation = {
  name: 'micro',
  says: 'hot functions alone, in this process: time of one call, mean of each round (tinybench)',
  async run({ quick }) {
    const dir = mkdtempSync(join(tmpdir(), `entrepot-bench-${process.pid}-`));
    const remove = (): void => rmSync(dir, { recursive: true, force: true });
    const forget = undoAtExit(remove);
    const { functions, close } = await openHotFunctions(dir);
    try {
      const values = new Map<string, number[]>(functions.map(({ name }) => [name, []]));
      for (let round = 0; round < (quick ? QUICK_ROUNDS : ROUNDS); round += 1) {
        const bench = new Bench({ time: TIME_MS, throws: true });
        for (const { name, run } of functions) bench.add(name, run);
        await bench.warmup();
        await bench.run();
        for (const { name, calls } of functions) {
          const meanMs = bench.getTask(name)?.result?.mean;
          if (meanMs === undefined) throw new Error(`nothing was measured of: ${name}`);
          values.get(name)?.push((meanMs * NS_PER_MS) / calls);
        }
      }
      const figures = [...values].map(([name, ns]): Figure => ({ name, unit: 'ns', values: ns }));
      return { lines: [], figures, data: undefined };
    } finally {
      await close();
      remove();
      forget();
    }
  },
};
