import { z } from 'zod';
import {
  DURATION,
  HOST,
  isPrefix,
  LISTEN,
  parseBaseUrl,
  parseDuration,
  parseHost,
  parseListen,
  parseShare,
  parseSize,
  SHARE,
  SIZE,
} from './config-text.ts';

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

const HOUR_MS = 3_600_000;
const TEN_YEARS_MS = 3650 * 24 * HOUR_MS;

const text = z
  .string({ error: 'accepted is text; what YAML would take for something else goes in quotes' })
  .min(1, { error: 'accepted is text that is not empty' });

function duration(limit: { readonly ms: number; readonly text: string }) {
  const error = `accepted is a duration such as 250ms, 10s, 5m, 2h or 30d, ${limit.text} at most`;
  return parsed(z.string({ error }).regex(DURATION, { error }), error, (value) => {
    const ms = parseDuration(value);
    return ms !== undefined && ms <= limit.ms ? ms : undefined;
  });
}

const lifetime = () => duration({ ms: TEN_YEARS_MS, text: '3650d' });
/** Used as a timer's delay, which must stay below 2^31 ms. */
const timer = () => duration({ ms: HOUR_MS, text: '1h' });

const SIZES = 'a number of bytes, or one with KiB, MiB, GiB or TiB';
const maxSizeError = `accepted is ${SIZES}, or a share of the disk such as 80%; more than 0`;
const maxSize = z
  .union(
    [
      z.int({ error: maxSizeError }).positive({ error: maxSizeError }),
      parsed(
        z.string().regex(SIZE, { error: maxSizeError }),
        maxSizeError,
        (value) => parseSize(value) || undefined,
      ),
      parsed(z.string().regex(SHARE, { error: maxSizeError }), maxSizeError, parseShare).transform(
        (share) => ({ share }),
      ),
    ],
    { error: maxSizeError },
  )
  .transform((size) => (typeof size === 'number' ? { bytes: size } : size));

const sizeError = `accepted is ${SIZES}`;
const size = z.union(
  [
    z.int({ error: sizeError }).nonnegative({ error: sizeError }),
    parsed(z.string().regex(SIZE, { error: sizeError }), sizeError, parseSize),
  ],
  {
    error: sizeError,
  },
);

const listenError =
  'accepted is host:port or [IPv6 address]:port, such as 127.0.0.1:5000; port 0 is any free one';
const listen = () =>
  parsed(z.string({ error: listenError }).regex(LISTEN, { error: listenError }), listenError, parseListen);

const booleanError = 'accepted is true or false';
const boolean = z
  .union([z.boolean(), z.string().regex(/^(?:true|false)$/, { error: booleanError })], {
    error: booleanError,
  })
  .transform((value) => value === true || value === 'true');

const urlError = 'accepted is http(s)://host[:port][/path], without credentials, query and fragment';
const url = parsed(z.string({ error: urlError }), urlError, parseBaseUrl);

const publicUrlError = 'accepted is http(s)://host[:port], without path, credentials, query and fragment';
const publicUrl = parsed(z.string({ error: publicUrlError }), publicUrlError, (value) => {
  const base = parseBaseUrl(value);
  return base === undefined || new URL(base).pathname !== '/' ? undefined : base;
});

const hostError = 'accepted is host or host:port';
const hosts = z.array(
  parsed(z.string({ error: hostError }).regex(HOST, { error: hostError }), hostError, parseHost),
  {
    error: 'accepted is a list of host or host:port',
  },
);

const prefixError =
  'accepted is one segment of a repository name: lower-case letters and digits, separated by . _ __ or -; not v2';
const prefixes = z.array(
  parsed(z.string({ error: prefixError }), prefixError, (value) => (isPrefix(value) ? value : undefined)),
  { error: 'accepted is a list of path segments, [] for none' },
);

const tokenError = 'accepted is printable ASCII without spaces';
const token = z.string({ error: tokenError }).regex(/^[\x21-\x7e]+$/, { error: tokenError });

const auth = mapping({
  username: text.describe('User name.').optional(),
  usernameFile: text.describe('A file that holds the user name.').optional(),
  password: text.describe('Password or access token.').optional(),
  passwordFile: text.describe('A file that holds the password or access token.').optional(),
}).describe('Credentials for this registry. They go to it and to its own token service only.');

const tls = mapping({
  ca: text.describe("PEM file of the authorities to trust, in place of the system's.").optional(),
  cert: text.describe('PEM file of the client certificate.').optional(),
  key: text.describe("PEM file of the client certificate's key.").optional(),
  insecure: boolean.describe('true: the certificates of this registry are not checked.').prefault(false),
}).describe('TLS towards this registry.');

const upstream = mapping({
  url: url
    .describe('Where the registry is. Default: https://<name>; docker.io: https://registry-1.docker.io.')
    .optional(),
  default: boolean
    .describe(
      'Answers requests that name no upstream. Default: true for docker.io where no other upstream is it.',
    )
    .optional(),
  prefixes: prefixes
    .describe('First path segments that name this upstream. Default: its name, where that can be one.')
    .optional(),
  hosts: hosts.describe('Host headers that name this upstream.').prefault([]),
  trustedHosts: hosts
    .describe(
      'Private addresses that its redirects may lead to, and foreign hosts that may be its token realm.',
    )
    .prefault([]),
  auth: auth.optional(),
  tls: tls.optional(),
  tagTtl: lifetime().describe("Like cache.tagTtl, which is this one's default.").optional(),
  maxStale: lifetime().describe("Like cache.maxStale, which is this one's default.").optional(),
});

const admin = mapping({
  listen: listen()
    .describe('Where health, metrics, dashboard and admin API listen.')
    .prefault('127.0.0.1:5001'),
  token: token
    .describe('What admin requests must carry. Needed where the address is not a loopback one.')
    .optional(),
  tokenFile: text.describe('A file that holds the token.').optional(),
});

const cache = mapping({
  maxSize: maxSize
    .describe('Disk space for content: bytes, KiB/MiB/GiB/TiB, or a share of the disk.')
    .prefault('50GiB'),
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
});

const levelError = 'accepted is debug, info, warn or error';
const log = mapping({
  level: z
    .enum(['debug', 'info', 'warn', 'error'], { error: levelError })
    .describe('The least urgent lines that are logged: debug, info, warn or error.')
    .prefault('info'),
});

/** A whole file, with all defaults but those that depend on an upstream's name or on another key. */
export const fileSchema = mapping({
  listen: listen().describe('Where container clients connect.').prefault('127.0.0.1:5000'),
  publicUrl: publicUrl.describe('How clients reach this program, where that is not `listen`.').optional(),
  admin: admin.prefault({}),
  dataDir: text.describe('Where everything is kept. One process at a time.').prefault('./data'),
  cache: cache.prefault({}),
  offline: boolean.describe('true: no upstream is ever asked.').prefault(false),
  shutdownGrace: timer().describe('How long pulls in flight may go on after SIGTERM.').prefault('30s'),
  log: log.prefault({}),
  upstreams: z
    .record(z.string(), upstream, { error: 'accepted is a mapping from registry hosts to their settings' })
    .describe('The registries to pull from, by host name. Default: the well-known public ones.')
    .prefault(Object.fromEntries(BUILT_IN_UPSTREAMS.map((name) => [name, {}]))),
});

export type FileConfig = z.output<typeof fileSchema>;
export type FileUpstream = z.output<typeof upstream>;

/** Keys that later releases bring, so that who writes them is not told of a typing error. `*` is an upstream's name. */
export const LATER_KEYS: ReadonlySet<string> = new Set([
  'tls',
  'upstreams.*.mirrors',
  'upstreams.*.allow',
  'upstreams.*.deny',
  'upstreams.*.maxSize',
  'upstreams.*.proxy',
  'upstreams.*.repositories',
]);

/** The keys that are known under a key path, in which `*` is an upstream's name. Empty where nothing is. */
export function knownKeys(path: readonly string[]): readonly string[] {
  let node: JsonNode | undefined = z.toJSONSchema(fileSchema, { io: 'input' }) as JsonNode;
  for (const key of path) node = key === '*' ? node?.additionalProperties : node?.properties?.[key];
  return Object.keys(node?.properties ?? {});
}

interface JsonNode {
  readonly properties?: Readonly<Record<string, JsonNode>>;
  readonly additionalProperties?: JsonNode;
}

/** JSON Schema (draft 7, what editors know) of the file. A value may always be `${VAR}` instead. */
export function jsonSchema(): object {
  const schema = z.toJSONSchema(fileSchema, {
    target: 'draft-7',
    io: 'input',
    override: ({ jsonSchema: node }) => {
      if (node.pattern?.endsWith('|\\$\\{') === false) node.pattern = `${node.pattern}|\\$\\{`;
      // A key without a value means its default, which YAML reads as null.
      if (node.type === 'object') node.type = ['object', 'null'] as unknown as 'object';
    },
  });
  return { ...schema, title: 'entrepot configuration' };
}

/** An object whose unknown keys are errors. */
function mapping<Shape extends z.core.$ZodLooseShape>(shape: Shape) {
  return z.strictObject(shape, {
    error: (issue) =>
      issue.code === 'unrecognized_keys' ? undefined : 'accepted is a mapping of keys to values',
  });
}

/** A piece of text that `parse` turns into what it means. */
function parsed<Output>(
  schema: z.ZodType<string, string>,
  error: string,
  parse: (value: string) => Output | undefined,
) {
  return schema.transform((value, context) => {
    const output = parse(value);
    if (output !== undefined) return output;
    context.addIssue({ code: 'custom', message: error });
    return z.NEVER;
  });
}
