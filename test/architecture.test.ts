import { readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { expect, test } from 'vitest';

/** The arrows of the contract (src/README.md), so that they hold without anybody watching. */

const SRC = join(import.meta.dirname, '..', 'src');
const LINE_COUNT_LIMIT = 400;

/** Higher may import lower. Equal ranks are siblings, which never import each other. */
const RANKS: Readonly<Record<string, number>> = {
  entry: 7,
  main: 6,
  'front-main': 6,
  commands: 5,
  // What clients are told. It knows no part of the server.
  'client-setup': 0.5,
  // What a site needs, as files say it. It knows no part of the server either.
  'image-sources': 0.5,
  app: 4,
  // Part of the composition: what the layers tell, as metrics and log lines.
  observers: 3.5,
  // Part of the composition: commands need it without the rest.
  'open-store': 3.4,
  'show-gauges': 3.6,
  'open-health': 3.55,
  'open-pull-through': 3.5,
  // Log lines of changes of state.
  'state-lines': 3.4,
  'open-usage': 3.5,
  'open-tracing': 3.5,
  'open-schedules': 3.6,
  // What operators ask for, put together.
  'open-admin': 3.7,
  'open-admin-site': 3.65,
  'open-listeners': 3.6,
  // Takes another configuration, and all that goes by it.
  'open-reload': 3.6,
  'renewable-parts': 3.7,
  http: 3,
  // Several processes in front of one owner: his side, and theirs.
  fronts: 3.2,
  // Fills the cache before anybody asks.
  warm: 2.5,
  'pull-through': 2,
  // What was asked, by whom, and what it spared; how upstreams are.
  activity: 2,
  // Carries images from one store to another: joins the cache's seams and the layouts on disk.
  bundle: 2,
  // Joins content and metadata; of upstreams it knows nothing, see `mayImport`.
  cache: 1.5,
  upstream: 1,
  content: 1,
  metadata: 1,
  'oci-layout': 1,
  oci: 0,
};
/** Anybody may import them; they import each other, packages and oci/. */
const LEAF =
  /^(?:log(?:-[a-z]+)*|clock|newcomers|import-key|reload-operations|loop-delay|request-cause|recent-entries|deferred|abortable|start-error|package-version|quantity-text|tracing(?:-[a-z]+)*|metrics(?:-[a-z]+)*|config(?:-[a-z]+)*)$/;

/** Who may import a package. Packages that are not named here are anybody's. */
const PACKAGE_OWNERS: Readonly<Record<string, RegExp>> = {
  hono: /^http\//,
  '@hono/zod-openapi': /^http\//,
  '@hono/node-server': /^http\//,
  'better-sqlite3': /^metadata\//,
  undici: /^(?:upstream|fronts)\//,
  '@aws-sdk/client-ecr': /^upstream\/credentials\//,
  '@aws-sdk/client-ecr-public': /^upstream\/credentials\//,
  '@azure/msal-node': /^upstream\/credentials\//,
  'google-auth-library': /^upstream\/credentials\//,
  tldts: /^upstream\//,
  socks: /^upstream\//,
  yaml: /^(?:config[a-z-]*\.ts$|client-setup\/)/,
  'js-yaml': /^image-sources\//,
  semver: /^oci\//,
  'tar-stream': /^oci-layout\//,
  croner: /^(?:warm\/|config[a-z-]*\.ts$)/,
  'smol-toml': /^client-setup\//,
  '@opentelemetry/api': /^tracing[a-z-]*\.ts$/,
  '@opentelemetry/resources': /^tracing[a-z-]*\.ts$/,
  '@opentelemetry/sdk-trace-node': /^tracing[a-z-]*\.ts$/,
  '@opentelemetry/exporter-trace-otlp-http': /^tracing[a-z-]*\.ts$/,
  zod: /^(?:config[a-z-]*|cache\/(?:store|image)-events|warm\/warm-events|activity\/[a-z-]+|bundle\/[a-z-]+|http\/[a-z-]*api[a-z-]*|pull-through\/(?:offline-report|explain-operations)|commands\/remote-[a-z-]+)\.ts$/,
  'fastest-levenshtein': /^config[a-z-]*\.ts$/,
  pino: /^log-output\.ts$/,
  'pino-pretty': /^log-terminal\.ts$/,
  'prom-client': /^metrics[a-z-]*\.ts$/,
  commander: /^commands\//,
  'cli-progress': /^commands\//,
};

interface Import {
  /** As it is written. */
  readonly specifier: string;
  /** Path below src/ when it is one of ours. */
  readonly target?: string | undefined;
  readonly names: string;
}

interface Source {
  /** Path below src/. */
  readonly path: string;
  readonly lineCount: number;
  /** Without comments. */
  readonly code: string;
  readonly imports: readonly Import[];
}

const sources: readonly Source[] = readdirSync(SRC, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && /\.(?:[cm]?ts|js)$/.test(entry.name))
  .map((entry) => read(relative(SRC, join(entry.parentPath, entry.name))));

function read(path: string): Source {
  const text = readFileSync(join(SRC, path), 'utf8');
  const code = withoutComments(text);
  return { path, lineCount: text.trimEnd().split('\n').length, code, imports: importsOf(path, code) };
}

/** Skips over strings, so that `'https://…'` is not taken for a comment. */
function withoutComments(text: string): string {
  const token = /\/\*[\s\S]*?\*\/|\/\/.*|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`/g;
  return text.replace(token, (found) => (found.startsWith('/*') || found.startsWith('//') ? ' ' : found));
}

function importsOf(path: string, code: string): readonly Import[] {
  const statements = code.matchAll(
    /^(?:import|export)\s+(?<names>[^'";]*?)\bfrom\s+['"](?<from>[^'"]+)['"]|^import\s+['"](?<bare>[^'"]+)['"]/gm,
  );
  const dynamic = code.matchAll(
    /\bimport\(\s*['"](?<from>[^'"]+)['"]|new URL\(\s*['"](?<from2>\.[^'"]+)['"]/g,
  );
  return [...statements, ...dynamic].flatMap(({ groups = {} }) => {
    const specifier = groups['from'] ?? groups['bare'] ?? groups['from2'];
    if (specifier === undefined || specifier.endsWith('package.json')) return [];
    const target = specifier.startsWith('.') ? join(dirname(path), specifier) : undefined;
    return [{ specifier, target, names: groups['names'] ?? '' }];
  });
}

/** The folder of a file, or its own name where it lies in src/ itself. */
function unitOf(path: string): string {
  const slash = path.indexOf('/');
  return slash === -1 ? basename(path).replace(/\.[a-z]+$/, '') : path.slice(0, slash);
}

function mayImport(from: string, to: string): boolean {
  const [unit, other] = [unitOf(from), unitOf(to)];
  if (unit === other && from.includes('/')) return true;
  if (LEAF.test(unit)) return LEAF.test(other) || other === 'oci';
  // The vocabulary is pure: it knows nobody, not even the leaves.
  if (LEAF.test(other)) return unit !== 'oci';
  if (unit === 'cache' && other === 'upstream') return false;
  return (RANKS[unit] ?? -1) > (RANKS[other] ?? Infinity);
}

function packageOf(specifier: string): string {
  return specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
}

function offences(find: (source: Source) => readonly string[]): readonly string[] {
  return sources.flatMap((source) => find(source).map((what) => `${source.path}: ${what}`));
}

function mentions(pattern: RegExp, except: RegExp): readonly string[] {
  return offences(({ path, code }) => (except.test(path) ? [] : (code.match(pattern) ?? [])));
}

test('every file is found and every import of our own leads to one', () => {
  expect(sources.length).toBeGreaterThan(20);
  const paths = new Set(sources.map(({ path }) => path));
  const dangling = ({ imports }: Source) =>
    imports.flatMap(({ target }) => (target === undefined || paths.has(target) ? [] : [target]));
  expect(offences(dangling)).toEqual([]);
  expect(sources.reduce((count, { imports }) => count + imports.length, 0)).toBeGreaterThan(sources.length);
});

test('every file belongs to a part that the contract names', () => {
  const strays = sources.filter(({ path }) => {
    const unit = unitOf(path);
    return !Object.hasOwn(RANKS, unit) && !LEAF.test(unit);
  });
  expect(strays.map(({ path }) => path)).toEqual([]);
});

test('dependencies point down only, and siblings never import each other', () => {
  const upward = offences(({ path, imports }) =>
    imports.flatMap(({ target }) => (target === undefined || mayImport(path, target) ? [] : [target])),
  );
  expect(upward).toEqual([]);
});

test('no file imports itself by way of others', () => {
  const byPath = new Map(sources.map((source) => [source.path, source]));
  const done = new Set<string>();
  const cycles: string[] = [];
  const visit = (path: string, trail: readonly string[]) => {
    if (trail.includes(path)) cycles.push([...trail.slice(trail.indexOf(path)), path].join(' → '));
    if (trail.includes(path) || done.has(path)) return;
    for (const { target } of byPath.get(path)?.imports ?? [])
      if (target !== undefined) visit(target, [...trail, path]);
    done.add(path);
  };
  for (const { path } of sources) visit(path, []);
  expect(cycles).toEqual([]);
});

test('a package stays with the part that wraps it', () => {
  const strays = offences(({ path, imports }) =>
    imports
      .filter(({ specifier }) => PACKAGE_OWNERS[packageOf(specifier)]?.test(path) === false)
      .map(({ specifier }) => specifier),
  );
  expect(strays).toEqual([]);
});

test('databases and statements are made where they are kept from ever being garbage', () => {
  const made = /\bnew Database\(|\.(?:prepare|pragma|iterate|backup)\b/g;
  expect(mentions(made, /^metadata\/lasting-database\.ts$/)).toEqual([]);
});

test('the libraries of the clouds and of tracing are loaded only where they are configured', () => {
  const clouds =
    /^import (?!type\b)[^;]*from '(?:@aws-sdk|@azure|google-auth-library|@opentelemetry)[^']*'/gm;
  expect(mentions(clouds, /^$/)).toEqual([]);
});

test('only main reads the process, its environment or its arguments, and ends it', () => {
  const process = /\bprocess\.(?:env|argv|exit|exitCode|abort|kill|cwd|chdir|on|once|stdin|stdout|stderr)\b/g;
  // A credential helper is ended with all its children, for which Node has no other call.
  const helper = 'upstream/credentials/helper-program.ts: process.kill';
  expect(mentions(process, /^(?:(?:front-)?main\.ts|entry\.cts)$/).filter((what) => what !== helper)).toEqual(
    [],
  );
  expect(mentions(/['"](?:node:)?process['"]/g, /^$/)).toEqual([]);
});

test('nothing of the libraries caches, retries, follows redirects or decodes bodies behind our back', () => {
  const interceptors =
    /\binterceptors\.\w+|\b(?:RetryAgent|RetryHandler|RedirectHandler|DecoratorHandler)\b|\bhono\/(?:cache|compress|etag|combine|proxy)\b/g;
  expect(mentions(interceptors, /^$/)).toEqual([]);
  // What runs in browsers has nothing else.
  expect(mentions(/(?<![.\w#]|async )fetch\(/g, /^http\/dashboard\/assets\//)).toEqual([]);
});

test('no file is longer than the limit', () => {
  const long = sources.filter(({ lineCount }) => lineCount > LINE_COUNT_LIMIT);
  expect(long.map(({ path, lineCount }) => `${path}: ${lineCount}`)).toEqual([]);
});

test('files are kebab-case nouns, and none is a drawer for leftovers', () => {
  const names = sources.map(({ path }) => path);
  expect(
    names.filter(
      (path) => !/^(?:[a-z0-9]+(?:-[a-z0-9]+)*\/)*[a-z0-9]+(?:-[a-z0-9]+)*\.(?:c?ts|js)$/.test(path),
    ),
  ).toEqual([]);
  const drawer = /(?:^|[/-])(?:utils?|helpers?|common|types|index|misc|shared|lib)\.[a-z]+$/;
  expect(names.filter((path) => drawer.test(path))).toEqual([]);
});

test('there is no `any`, no enum, no default export and no silenced check', () => {
  expect(mentions(/(?::|\bas|<|\|)\s*any\b/g, /^$/)).toEqual([]);
  expect(mentions(/^\s*(?:export\s+)?(?:const\s+)?enum\s/gm, /^$/)).toEqual([]);
  expect(mentions(/^export default\b/gm, /^$/)).toEqual([]);
  const silenced = sources.filter(({ path }) =>
    /@ts-(?:ignore|expect-error|nocheck)|(?:eslint|oxlint)-disable/.test(
      readFileSync(join(SRC, path), 'utf8'),
    ),
  );
  expect(silenced.map(({ path }) => path)).toEqual([]);
});

test('the time comes from the injected clock wherever it decides anything', () => {
  expect(mentions(/\bDate\.now\(\)/g, /^clock\.ts$/)).toEqual([]);
});
