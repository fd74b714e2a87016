import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { frontStarter, type StartFront } from '../../src/fronts/front-process.ts';
import { Fronts } from '../../src/fronts/fronts.ts';
import { Certificates } from '../../src/http/listeners.ts';
import { systemClock } from '../../src/clock.ts';
import { createMetrics } from '../../src/metrics.ts';
import { packageVersion } from '../../src/package-version.ts';
import { StartError } from '../../src/start-error.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { get } from '../support/http-get.ts';
import { tempDir } from '../support/temp-dir.ts';

const FRONT = join(import.meta.dirname, '..', '..', 'dist', 'front-main.js');
const SOON = { timeout: 10_000 };

interface Said {
  readonly facts: Readonly<Record<string, unknown>>;
  readonly message: string;
}

/** Two of them before an owner that answers everything with 204. `failure`: why they could not be started. */
async function open(start: StartFront) {
  const errors: Said[] = [];
  const lines: string[] = [];
  const tell = (_: object, message: string): void => void lines.push(message);
  const log = {
    debug: tell,
    info: tell,
    warn: tell,
    error: (facts: Said['facts'], message: string) =>
      void (lines.push(message), errors.push({ facts, message })),
  };
  const metrics = createMetrics({ version: '1.0.0', nodeVersion: process.version, upstreams: [] });
  const options = {
    what: 'The registry',
    listeners: [{ host: '127.0.0.1', port: 0 }],
    count: 2,
    gate: { enter: () => () => undefined },
    certificates: new Certificates({ clock: systemClock, log }),
    log,
    metrics,
    dataDir: await tempDir(),
    version: packageVersion(),
    start,
    onRepeated: () => undefined,
  };
  const fronts = await Fronts.open(options, (_, response) => void response.writeHead(204).end());
  closeAfterTest({ close: async () => fronts.close(0) });
  const failure = await fronts.begin().then(
    () => undefined,
    (error: unknown) => error,
  );
  return { fronts, errors, lines, failure };
}

/** Real ones, but told by an owner of the version that `version` gives. */
function toldBy(version: () => string): { start: StartFront; kills: (() => void)[] } {
  const kills: (() => void)[] = [];
  const real = frontStarter(FRONT, process.env);
  const start: StartFront = (listeners) => {
    const front = real(listeners);
    kills.push(() => front.kill());
    return {
      ...front,
      send: (message, ...rest) =>
        front.send(message.kind === 'begin' ? { ...message, version: version() } : message, ...rest),
    };
  };
  return { start, kills };
}

test('a front of another version than its owner serves nobody, and the others go on', async () => {
  await access(FRONT);
  let version = packageVersion();
  const { start, kills } = toldBy(() => version);
  const { fronts, errors, failure } = await open(start);
  expect(failure).toBeUndefined();
  version = '0.0.0-before';
  kills[0]?.();
  await expect.poll(() => errors.length, SOON).toBe(2);
  // Tried again, and not told of again.
  await expect.poll(() => kills.length, SOON).toBeGreaterThan(3);
  await expect.poll(() => fronts.readyCount, SOON).toBe(1);
  expect(errors.map(({ message }) => message)).toEqual([
    'a worker ended unexpectedly: another one is started',
    'a worker of another version was ended: entrepot was replaced while it runs, and must be restarted',
  ]);
  expect(errors[1]?.facts).toMatchObject({ workerVersion: packageVersion() });
  const [address] = fronts.addresses;
  expect((await get(`http://127.0.0.1:${address?.port}/v2/`)).status).toBe(204);
});

test.each([
  [
    'another version',
    /^A worker is of version \S+, and this process of \S+: entrepot was replaced while it started\.$/,
  ],
  [
    'no program',
    /^A worker ended as soon as it was started \(exit code 1\): Error: Cannot find module '.*'$/,
  ],
] as const)(
  'a front that cannot start (%s) is one sentence, and no line in the log',
  async (what, sentence) => {
    await access(FRONT);
    const { start } = toldBy(() => packageVersion());
    let started = 0;
    const bad = what === 'no program' ? frontStarter('/nowhere/front.js', {}) : toldBy(() => '0.0.0').start;
    // One may serve already when the other fails.
    const { failure, lines } = await open((listeners) => {
      started += 1;
      return (started === 1 ? start : bad)(listeners);
    });
    expect(failure).toBeInstanceOf(StartError);
    expect((failure as Error).message).toMatch(sentence);
    expect(lines).toEqual([]);
  },
);
