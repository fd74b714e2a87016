import { z } from 'zod';
import { bandwidth } from './config-schema-bandwidth.ts';
import { listeners, listenerTls, tlsChoice } from './config-schema-listen.ts';
import { profileSchema, upstreamSchema } from './config-schema-upstream.ts';
import { warmSchema } from './config-schema-warm.ts';
import { proxySchema } from './config-schema-proxy.ts';
import {
  boolean,
  keep,
  lifetime,
  listen,
  mapping,
  maxSize,
  number,
  publicUrl,
  schedule,
  retention,
  size,
  sizeOrShare,
  text,
  timer,
  token,
  url,
} from './config-values.ts';

/**
 * The configuration file as it is written: what each key takes, its default and what it means. The error texts say what
 * is accepted, for they are what an operator reads. Descriptions go into the JSON Schema that editors complete from.
 */

/** The upstreams of a configuration that names none. */
export const BUILT_IN_UPSTREAMS: readonly string[] = [
  'docker.io',
  'quay.io',
  'ghcr.io',
  'gcr.io',
  'registry.k8s.io',
  'mcr.microsoft.com',
  'public.ecr.aws',
  'registry.gitlab.com',
  'nvcr.io',
  'registry.access.redhat.com',
  'registry.redhat.io',
];

const admin = mapping({
  listen: listen()
    .describe('Where health, metrics, dashboard and admin API listen.')
    .prefault('127.0.0.1:5001'),
  tls: tlsChoice.describe('Whether it speaks TLS, or with what: as in a listener.').prefault(false),
  token: token
    .describe('What admin requests must carry. Needed where the address is not a loopback one.')
    .optional(),
  tokenFile: text.describe('A file that holds the token.').optional(),
});

const LEAST_SCRUB_RATE = 64 * 1024;
const scrubRate = size.refine((bytes) => bytes >= LEAST_SCRUB_RATE, { error: 'accepted is 64KiB or more' });

const cache = mapping({
  maxSize: maxSize
    .describe('Disk space for content: bytes, KiB/MiB/GiB/TiB, or a share of the disk.')
    .prefault('50GiB'),
  minFreeSpace: sizeOrShare
    .describe('What is to stay free on the disk, whatever maxSize is: bytes, or a share of the disk.')
    .prefault('1%'),
  maxBlobSize: size
    .describe('Larger blobs pass through without being stored. Default: no such bound.')
    .optional(),
  maxAge: retention()
    .describe('What nobody used for so long is removed, though there is room. Default: kept.')
    .optional(),
  tagTtl: lifetime().describe('How long a tag is answered without asking its upstream.').prefault('1m'),
  maxStale: lifetime()
    .describe('How old an answer may be while its upstream is unreachable.')
    .prefault('30d'),
  finishFill: size
    .describe(
      'A blob that nobody reads any more is still fetched to its end when no more than this is missing.',
    )
    .prefault('64MiB'),
  fillLinger: timer()
    .describe('How long a fetch goes on without a reader before finishFill decides.')
    .prefault('10s'),
  verifyOnRead: boolean
    .describe(
      'true: whole blobs from the cache are hashed as they are sent, and end only when they are right.',
    )
    .prefault(false),
  scrub: mapping({
    every: schedule
      .describe('How often every stored file is read and compared with its digest; never: not at all.')
      .prefault('30d'),
    rate: scrubRate.describe('What that reads a second, 64KiB at least.').prefault('20MiB'),
  })
    .describe('Looks for damaged files in the background.')
    .prefault({}),
  pins: z
    .array(text, { error: 'accepted is a list of images such as docker.io/library/* or ghcr.io/org/app:v1' })
    .describe('Images that are never evicted: [upstream/]repository[:tag][@digest] with * and **.')
    .prefault([]),
});

const bundle = mapping({
  publicKeys: z
    .array(text, { error: 'accepted is a list of files with public keys, as entrepot keygen writes them' })
    .describe(
      'Files with Ed25519 public keys: entrepot import takes only bundles that one of them signed. None: all archives.',
    )
    .prefault([]),
});

const accessError = 'accepted is all, misses, errors or none';
const levelError = 'accepted is debug, info, warn or error';
const log = mapping({
  level: z
    .enum(['debug', 'info', 'warn', 'error'], { error: levelError })
    .describe('The least urgent lines that are logged: debug, info, warn or error.')
    .prefault('info'),
  access: z
    .enum(['all', 'misses', 'errors', 'none'], { error: accessError })
    .describe(
      'Which requests have a line of their own: all, misses (what no plain hit answered, and errors), errors, or none.',
    )
    .prefault('all'),
});

const ratioError = 'accepted is a number from 0 to 1, such as 0.1';
const ratio = number(ratioError, (value) => value >= 0 && value <= 1);
const tracing = mapping({
  endpoint: url.describe(
    'A collector that speaks OTLP over HTTP: http://collector:4318; /v1/traces is put behind it.',
  ),
  headers: z
    .record(text, text, { error: 'accepted is a mapping from names of headers to their values' })
    .describe('Headers that it wants, such as a token.')
    .prefault({}),
  sampleRatio: ratio.describe('Which share of the traces is sent, 0 to 1.').prefault(1),
});

const countError = 'accepted is a number from 1 to 10000';
const connectionCount = z
  .int({ error: countError })
  .min(1, { error: countError })
  .max(10_000, { error: countError });

const workersError = 'accepted is a number from 1 to 64, or auto';
const workers = z.union(
  [
    z.int({ error: workersError }).min(1, { error: workersError }).max(64, { error: workersError }),
    z.literal('auto'),
  ],
  { error: workersError },
);

/** A whole file, with all defaults but those that depend on an upstream's name or on another key. */
export const fileSchema = mapping({
  listen: listeners
    .describe('Where container clients connect: host:port, or a list of listeners.')
    .prefault('127.0.0.1:5000'),
  tls: listenerTls.describe('Makes the listeners speak TLS.').optional(),
  connectionsPerClient: connectionCount
    .describe('How many connections one client address may have open (of IPv6: one /64).')
    .prefault(512),
  workers: workers
    .describe(
      'Processes that speak with clients: 1, where one process does everything; several, beside the one that owns the cache; or auto.',
    )
    .prefault(1),
  publicUrl: publicUrl.describe('How clients reach this program, where that is not `listen`.').optional(),
  admin: admin.prefault({}),
  dataDir: text.describe('Where everything is kept. One process at a time.').prefault('./data'),
  cache: cache.prefault({}),
  warm: warmSchema
    .describe('What is fetched before anybody asks, on schedules. Default: nothing.')
    .prefault([]),
  bandwidth: bandwidth
    .describe(
      'Bytes a second that blobs may come in with, of all upstreams together: a size, or limit and hours. Default: no limit.',
    )
    .optional(),
  bundle: bundle.describe('What is carried here from another cache.').prefault({}),
  offline: boolean
    .describe('true: no upstream is ever asked, but those that say offline: false.')
    .prefault(false),
  shutdownGrace: timer().describe('How long pulls in flight may go on after SIGTERM.').prefault('30s'),
  usage: mapping({
    keep: keep
      .describe('How long what was pulled, and by whom, is kept for reports, by days; never: not at all.')
      .prefault('400d'),
  })
    .describe('What is remembered of requests: image names and client addresses.')
    .prefault({}),
  log: log.prefault({}),
  tracing: tracing
    .describe('Sends a span for each request, and each of ours to an upstream, over OTLP. Default: none.')
    .optional(),
  proxy: proxySchema
    .describe('By which proxy upstreams are reached. Default: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY.')
    .optional(),
  upstreams: z
    .record(z.string(), upstreamSchema, {
      error: 'accepted is a mapping from registry hosts to their settings',
    })
    .describe('The registries to pull from, by host name. Default: the well-known public ones.')
    .prefault(Object.fromEntries(BUILT_IN_UPSTREAMS.map((name) => [name, {}]))),
});

export type FileConfig = z.output<typeof fileSchema>;

/** The keys that are known under a key path. Empty where nothing is. */
export function knownKeys(path: readonly string[]): readonly string[] {
  let nodes = [z.toJSONSchema(fileSchema, { io: 'input' }) as JsonNode];
  for (const key of path) nodes = nodes.flatMap((node) => childrenOf(node, key));
  return nodes.flatMap((node) => Object.keys(node.properties ?? {}));
}

interface JsonNode {
  readonly properties?: Readonly<Record<string, JsonNode>>;
  readonly additionalProperties?: JsonNode;
  readonly items?: JsonNode;
  readonly anyOf?: readonly JsonNode[];
}

function childrenOf(node: JsonNode, key: string): readonly JsonNode[] {
  const child = node.properties?.[key] ?? node.additionalProperties ?? node.items;
  return child === undefined ? [] : [child, ...(child.anyOf ?? [])];
}

/** JSON Schema (draft 7, what editors know) of the file. A value may always be `${VAR}` instead. */
export function jsonSchema(): object {
  const schema = z.toJSONSchema(fileSchema, {
    target: 'draft-7',
    io: 'input',
    override: ({ zodSchema, jsonSchema: node }) => {
      if (node.pattern?.endsWith('|\\$\\{') === false) node.pattern = `${node.pattern}|\\$\\{`;
      // A key without a value means its default, which YAML reads as null.
      if (node.type === 'object') node.type = ['object', 'null'] as unknown as 'object';
      // The name of a profile stands for the whole.
      if (zodSchema === profileSchema) node.type = ['object', 'string', 'null'] as unknown as 'object';
    },
  });
  return { ...schema, title: 'entrepot configuration' };
}
