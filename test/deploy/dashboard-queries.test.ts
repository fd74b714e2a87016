import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { readFileSync } from 'node:fs';
import { expect, it, onTestFinished } from 'vitest';
import { parse } from 'yaml';
import { ChildProgram } from '../support/child-program.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { EntrepotProcess } from '../support/entrepot-process.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { freePort } from '../support/free-port.ts';
import { get } from '../support/http-get.ts';
import { describeWith, programPath } from '../support/programs.ts';
import { tempDir } from '../support/temp-dir.ts';
import { serverCertificate } from '../upstream/certificates.ts';
import { panelsOf, readDashboard, substituted } from './dashboard.ts';

const TOKEN = 'correct-horse-battery-staple';
const DEPLOY = join(import.meta.dirname, '..', '..', 'deploy', 'prometheus');
const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
/** Rates need a few scrapes of every series. */
const LOAD_MS = 12_000;
/** Nothing from the cache is 0 there, and not "no data". */
const OF_HITS = ['Requests from the cache', 'Bytes from the cache', 'Hit ratio by requests'];

interface Answer {
  readonly data: {
    readonly result: readonly {
      readonly value?: readonly [number, string];
      readonly values?: readonly (readonly [number, string])[];
    }[];
  };
}

/** Prometheus with the configuration of deploy/, but for its places and its haste. Ends with the test. */
async function startPrometheus(target: string, directory: string): Promise<string> {
  const port = await freePort();
  const token = join(directory, 'token');
  await writeFile(token, TOKEN);
  const [scrape] = parse(readFileSync(join(DEPLOY, 'prometheus.yml'), 'utf8')).scrape_configs;
  const config = {
    global: { scrape_interval: '1s', evaluation_interval: '1s' },
    rule_files: ['entrepot.rules.yml', 'entrepot.alerts.yml'].map((file) => join(DEPLOY, file)),
    scrape_configs: [
      {
        ...scrape,
        static_configs: [{ targets: [target] }],
        authorization: { ...scrape.authorization, credentials_file: token },
      },
    ],
  };
  const file = join(directory, 'prometheus.yml');
  await writeFile(file, JSON.stringify(config));
  const program = new ChildProgram(programPath('prometheus'), [
    `--config.file=${file}`,
    `--storage.tsdb.path=${join(directory, 'prometheus')}`,
    `--web.listen-address=127.0.0.1:${port}`,
    '--storage.tsdb.min-block-duration=2h',
  ]);
  onTestFinished(async () => {
    await program.stop();
  });
  await program.until(
    () => (program.stderr.includes('Server is ready') ? true : undefined),
    'line that it is ready',
  );
  return `http://127.0.0.1:${port}`;
}

/** Nothing that anybody pulled before. Prometheus finds its targets within five seconds. */
async function loadWithoutHits(entrepot: EntrepotProcess, registry: FakeRegistry): Promise<void> {
  const until = performance.now() + 10_000;
  for (let round = 0; performance.now() < until; round += 1) {
    const document = JSON.stringify({
      schemaVersion: 2,
      mediaType: MANIFEST,
      annotations: { round: String(round) },
    });
    registry.addManifest('library/first', document, MANIFEST, [`v${round}`]);
    const { status } = await get(`${entrepot.url}/v2/first/manifests/v${round}`, {
      headers: { accept: MANIFEST },
    });
    expect(status).toBe(200);
    await delay(200);
  }
}

/** What is pulled, by whom and how the registry fails meanwhile: a little of everything that a dashboard shows. */
async function load(entrepot: EntrepotProcess, registry: FakeRegistry): Promise<void> {
  const pull = async (path: string): Promise<void> => {
    await get(entrepot.url + path, { headers: { accept: MANIFEST } }).catch(() => undefined);
  };
  const until = performance.now() + LOAD_MS;
  for (let round = 0; performance.now() < until; round += 1) {
    const layer = registry.addBlob('library/app', { size: 200_000, seed: round });
    const manifest = JSON.stringify({
      schemaVersion: 2,
      mediaType: MANIFEST,
      config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: layer, size: 200_000 },
      layers: [],
    });
    registry.addManifest('library/app', manifest, MANIFEST, [`v${round}`]);
    const status = [503, 429, 404][round % 3];
    const fails = registry.faults.add({
      match: { path: /manifests\/wrong/, times: 1 },
      action:
        round % 4 === 0
          ? { drop: 'reset' }
          : { respond: { status: status ?? 503, headers: { 'retry-after': '1' } } },
    });
    const cut = registry.faults.add({
      match: { path: new RegExp(layer), times: 1 },
      action: { cutAfter: 50_000 },
    });
    const blob = `/v2/app/blobs/${layer}`;
    await Promise.all([
      ...[1, 2, 3].map(() => pull(blob)),
      pull(`/v2/app/manifests/v${round}`),
      pull('/v2/app/manifests/v0'),
      pull('/v2/app/tags/list'),
    ]);
    await pull(blob);
    await pull(`/v2/app/manifests/wrong-${round}`);
    fails.remove();
    cut.remove();
    await delay(100);
  }
}

describeWith({ programs: ['prometheus'] }, 'a real Prometheus that scrapes a real entrepot', () => {
  it(
    'has data for every query of the dashboard and every rule, and no alert that all is dead',
    { timeout: 120_000 },
    async () => {
      const registry = closeAfterTest(await FakeRegistry.start());
      registry.configure({ pullLimit: { limit: 100_000, remaining: 100_000 } });
      const directory = await tempDir();
      await writeFile(join(directory, 'cert.pem'), serverCertificate.cert);
      await writeFile(join(directory, 'key.pem'), serverCertificate.key);
      const tls = { cert: join(directory, 'cert.pem'), key: join(directory, 'key.pem') };
      const entrepot = await EntrepotProcess.start({
        config: {
          listen: ['127.0.0.1:0', { address: '127.0.0.1:0', tls }],
          admin: { listen: '127.0.0.1:0', token: TOKEN },
          cache: { maxSize: '5MiB', tagTtl: '1s' },
          warm: [{ name: 'nightly', cron: '0 3 * * *', images: ['app:v0'] }],
          upstreams: { 'docker.io': { url: registry.url, maxSize: '4MiB' } },
        },
      });
      const prometheus = await startPrometheus(new URL(entrepot.adminUrl).host, directory);
      const ask = async (path: string, query: Readonly<Record<string, string>>): Promise<Answer> => {
        const answer = await fetch(`${prometheus}/api/v1/${path}?${String(new URLSearchParams(query))}`);
        const text = await answer.text();
        expect(answer.status, `${query['query'] ?? path}: ${text}`).toBe(200);
        return JSON.parse(text) as Answer;
      };
      const panels = panelsOf(readDashboard());
      await loadWithoutHits(entrepot, registry);
      for (const panel of panels.filter(({ title }) => OF_HITS.includes(title)))
        for (const { expr } of panel.targets) {
          const { data } = await ask('query', { query: substituted(expr) });
          expect(
            data.result.map(({ value }) => value?.[1]),
            panel.title,
          ).toEqual(['0']);
        }
      await load(entrepot, registry);
      await delay(2500);

      const without: string[] = [];
      let asked = 0;
      const end = Date.now() / 1000;
      const range = { start: String(end - 12), end: String(end), step: '1' };
      for (const { title, targets } of panels)
        for (const { expr, instant } of targets) {
          const query = substituted(expr);
          asked += 1;
          const { data } =
            instant === true ? await ask('query', { query }) : await ask('query_range', { query, ...range });
          const numbers = data.result.flatMap(
            ({ value, values }) => values ?? (value === undefined ? [] : [value]),
          );
          if (!numbers.some(([, number]) => Number.isFinite(Number(number))))
            without.push(`${title}: ${query}`);
        }
      expect(without).toEqual([]);
      expect(panels.map(({ title }) => title)).toEqual(expect.arrayContaining(OF_HITS));
      expect(asked).toBeGreaterThan(60);
      for (const { name, definition } of readDashboard().templating.list) {
        const [, metric, label] = /^label_values\((.*), (\w+)\)$/.exec(definition ?? '') ?? [];
        if (metric === undefined) continue;
        const { data } = await ask('query', { query: `count by (${label}) (${substituted(metric)})` });
        expect(data.result.length, name).toBeGreaterThan(0);
      }
      await checkRules(prometheus);
    },
  );
});

async function checkRules(prometheus: string): Promise<void> {
  const answer = await fetch(`${prometheus}/api/v1/rules`);
  const { data } = (await answer.json()) as {
    data: {
      groups: readonly {
        rules: readonly { name: string; health: string; type: string; state?: string; lastError?: string }[];
      }[];
    };
  };
  const rules = data.groups.flatMap((group) => group.rules);
  expect(rules.length).toBeGreaterThan(20);
  expect(rules.filter(({ health }) => health !== 'ok')).toEqual([]);
  expect(rules.find(({ name }) => name === 'EntrepotDown')?.state).toBe('inactive');
  const recorded = rules.filter(({ type }) => type === 'recording').map(({ name }) => name);
  const empty: string[] = [];
  for (const name of recorded) {
    const found = await fetch(`${prometheus}/api/v1/query?query=${encodeURIComponent(name)}`);
    const { data: values } = (await found.json()) as Answer;
    if (values.result.length === 0) empty.push(name);
  }
  expect(empty).toEqual([]);
}
