import { expect, it } from 'vitest';
import { readConfig } from '../src/config.ts';
import { createLog } from '../src/log-output.ts';
import { createMetrics } from '../src/metrics.ts';
import { Reload, type RenewablePart } from '../src/open-reload.ts';
import { tempDir } from './support/temp-dir.ts';

async function start(...parts: readonly RenewablePart[]) {
  const workingDir = await tempDir();
  const read = () => readConfig({ environment: {}, workingDir });
  const metrics = createMetrics({ version: '1', nodeVersion: '1', upstreams: [] });
  const log = createLog({ level: 'info', destination: { write: () => undefined } });
  const source = { loaded: read(), read };
  const reload = new Reload({ log, metrics, source, onConfig: () => undefined, parts });
  const told = async () => {
    const { text } = await metrics.render();
    return text.split('\n').filter((line) => /^entrepot_config_(?:reloads|last).* [01]$/.test(line));
  };
  return { reload: () => reload.reload(AbortSignal.timeout(10_000)), told };
}

const RELOADS = 'entrepot_config_reloads_total';
const LAST = 'entrepot_config_last_reload_successful';

it.each([
  ['fails', () => Promise.reject(new Error('a fault'))],
  [
    'throws',
    () => {
      throw new Error('a fault');
    },
  ],
] as const)(
  'a configuration of which a part %s as it is made to hold counts as failed',
  async (_how, commit) => {
    const { reload, told } = await start({ renew: () => ({ commit }) });
    await expect(reload()).rejects.toThrow('a fault');
    expect(await told()).toEqual([
      `${RELOADS}{outcome="done"} 0`,
      `${RELOADS}{outcome="refused"} 0`,
      `${RELOADS}{outcome="failed"} 1`,
      `${LAST} 0`,
    ]);
  },
);

it('a configuration that holds counts as done, and ends what was said of the one before', async () => {
  let isFaulty = true;
  const commit = async (): Promise<void> => {
    if (isFaulty) throw new Error('a fault');
  };
  const { reload, told } = await start({ renew: () => ({ commit }) });
  await expect(reload()).rejects.toThrow('a fault');
  isFaulty = false;
  expect(await reload()).toEqual({ changed: [] });
  expect(await told()).toEqual([
    `${RELOADS}{outcome="done"} 1`,
    `${RELOADS}{outcome="refused"} 0`,
    `${RELOADS}{outcome="failed"} 1`,
    `${LAST} 1`,
  ]);
});
