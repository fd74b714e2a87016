import { setTimeout as delay } from 'node:timers/promises';
import { curlSeconds } from '../curl.ts';
import { download } from '../download.ts';
import { percentile } from '../figure.ts';
import { LatencyProbe } from '../latency-probe.ts';
import { MANIFEST_TYPE } from '../nginx-upstream.ts';
import { lagP99Ms } from '../scrape.ts';
import { MIB, type Scenario } from '../workbench.ts';

const SIZE_BYTES = 512 * MIB;
const IDLE_MS = 1000;

/** A cold pull at full speed holds nobody else up. */
export const neighbours: Scenario = {
  name: 'neighbours',
  says: 'one cold 512 MiB blob (curl) while a second client asks for warm manifests',
  async run(bench) {
    const curl = await bench.program('curl');
    const entrepot = await bench.startEntrepot();
    const manifest = await bench.upstream.addManifest();
    await download(entrepot.url + manifest.path, { accept: MANIFEST_TYPE });
    const probe = new LatencyProbe(entrepot.url + manifest.path);
    const [busyP99, idleP99, lagP99]: [number[], number[], number[]] = [[], [], []];
    for (let round = 0; round < bench.rounds; round += 1) {
      const blob = await bench.upstream.addBlob(SIZE_BYTES);
      await bench.settle();
      idleP99.push(percentile(await probe.during(async () => delay(IDLE_MS)), 0.99));
      await lagP99Ms(entrepot.adminUrl);
      // Of the first round the body is hashed.
      const hashed = round === 0;
      const busy = await probe.during(
        async () => void (await curlSeconds(curl, entrepot.url + blob.path, blob, { hashed })),
      );
      lagP99.push(await lagP99Ms(entrepot.adminUrl));
      busyP99.push(percentile(busy, 0.99));
      await bench.upstream.remove(blob);
    }
    return [
      {
        name: "other requests' p99 during it",
        unit: 'ms',
        values: busyP99,
        target: { is: 'at most', value: 20 },
      },
      { name: 'the same with nothing else going on', unit: 'ms', values: idleP99 },
      { name: 'event loop p99, of which 10 are its sampling', unit: 'ms', values: lagP99 },
    ];
  },
};
