import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { download } from '../download.ts';
import { ratios } from '../figure.ts';
import { MANIFEST_TYPE } from '../nginx-upstream.ts';
import type { Scenario, Workbench } from '../workbench.ts';

const CONNECTIONS = 16;

/** A cached manifest by digest over 16 connections, beside docker-registry's proxy. */
export const warmManifest: Scenario = {
  name: 'warm-manifest',
  says: `a cached manifest by digest, ${CONNECTIONS} connections (wrk, one thread)`,
  async run(bench) {
    const manifest = await bench.upstream.addManifest();
    const [entrepot, registry] = [await bench.startEntrepot(), await bench.startDockerRegistry()];
    for (const { url } of [entrepot, registry, entrepot, registry]) {
      await download(url + manifest.path, { accept: MANIFEST_TYPE });
    }
    const [ours, theirs]: [number[], number[]] = [[], []];
    for (let round = 0; round < bench.rounds; round += 1) {
      theirs.push(await requestsPerSecond(bench, registry.url + manifest.path));
      ours.push(await requestsPerSecond(bench, entrepot.url + manifest.path));
    }
    return [
      { name: 'entrepot', unit: 'requests/s', values: ours },
      { name: 'docker-registry', unit: 'requests/s', values: theirs },
      {
        name: 'entrepot ÷ docker-registry',
        unit: '×',
        values: ratios(ours, theirs),
        target: { is: 'at least', value: 10 },
      },
    ];
  },
};

/** @throws when an answer is not a 2xx. */
async function requestsPerSecond({ programs, quick }: Workbench, url: string): Promise<number> {
  const args = ['-t1', `-c${CONNECTIONS}`, quick ? '-d2s' : '-d5s', '-H', `Accept: ${MANIFEST_TYPE}`, url];
  const { stdout } = await promisify(execFile)(programs.wrk, args, { timeout: 30_000 });
  if (/Non-2xx|Socket errors/.test(stdout)) throw new Error(`wrk met failures:\n${stdout}`);
  const rate = /^Requests\/sec:\s+([\d.]+)$/m.exec(stdout)?.[1];
  if (rate === undefined) throw new Error(`wrk said no rate:\n${stdout}`);
  return Number(rate);
}
