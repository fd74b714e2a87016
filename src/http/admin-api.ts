import { type Context, Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { z } from 'zod';
import type { Clock } from '../clock.ts';
import type { StoreContents } from '../cache/store-contents.ts';
import { StoreOperationError, type StoreOperationReason } from '../cache/store-operation-error.ts';
import type { ImageSelection, StoreOperations } from '../cache/store-operations.ts';
import { digestFrom } from '../oci/digest.ts';
import { isRepositoryName, isTag } from '../oci/reference.ts';
import { contentApi } from './content-api.ts';
import { contentIntakeApi } from './content-intake-api.ts';
import type { OfflineOperations } from '../pull-through/offline-operations.ts';
import type { WarmOperations } from '../warm/warm-operations.ts';
import { bodyOf, parsed } from './api-input.ts';
import { ndjson } from './ndjson.ts';
import { addOfflineRoutes } from './offline-api.ts';
import { warmApi } from './warm-api.ts';

const BODY_BYTES_LIMIT = 16 * 1024;
/** Operations of a kind that go on at the same time; each may read the disk as fast as it can. */
const STREAMS_LIMIT = 4;

export interface AdminApiParts {
  readonly operations: StoreOperations;
  readonly contents: StoreContents;
  readonly offline: OfflineOperations;
  readonly warming: WarmOperations;
  readonly clock: Clock;
  /** Without a token everybody who reaches the listener may ask, and by a name of its own a web page could: see `isOwnHost`. */
  readonly needsOwnHost: boolean;
  /** Asked of who brings images, besides: see import-key. */
  readonly importKey: string;
}

const STATUS: Record<StoreOperationReason, 400 | 404 | 429 | 500 | 502> = {
  'not-found': 404,
  invalid: 400,
  busy: 429,
  failed: 500,
  unreachable: 502,
  refused: 502,
};

const name = (accepted: string, isOne: (value: string) => boolean) =>
  z.string({ error: `accepted is ${accepted}` }).refine(isOne, { error: `accepted is ${accepted}` });
const selection = {
  upstream: name('the name of an upstream', (value) => /^[^/\s]{1,255}$/.test(value)),
  repository: name('the name of a repository, in full', isRepositoryName),
  tag: name('a tag', isTag),
  digest: name(
    'sha256: or sha512: and lower-case hexadecimal digits',
    (value) => digestFrom(value) !== undefined,
  ),
};
const selected = z.strictObject({
  upstream: selection.upstream.optional(),
  repository: selection.repository.optional(),
  tag: selection.tag.optional(),
  digest: selection.digest.optional(),
});
const flag = z.boolean({ error: 'accepted is true or false' }).prefault(false);
const purged = selected.extend({ upstream: selection.upstream, dryRun: flag });
const bytesError = 'accepted is a number of bytes, 0 or more';
const evicted = z.strictObject({
  toBytes: z.int({ error: bytesError }).nonnegative({ error: bytesError }),
  dryRun: flag,
});
const pinned = z.strictObject({
  pattern: z.string({ error: 'accepted is [upstream/]repository[:tag][@digest]' }).min(1).max(1024),
});

/** Operations on the store, for `entrepot` commands and scripts: JSON, and NDJSON where work goes on for long. */
export function adminApi(parts: AdminApiParts): Hono {
  const { operations, contents, warming, offline, clock, needsOwnHost, importKey } = parts;
  const app = new Hono();
  const stream = streams(clock);

  app.use('*', async (c, next) => {
    await next();
    c.header('Cache-Control', 'no-store');
    c.header('X-Content-Type-Options', 'nosniff');
  });
  app.use('*', async (c, next) => {
    if (needsOwnHost && !isOwnHost(c.req.header('host')))
      return c.json(problem('refused', 'Host: accepted is an IP address or localhost'), 403);
    if (isForeign(c))
      return c.json(problem('refused', 'requests that other web sites cause are not taken'), 403);
    return next();
  });
  // hono answers HEAD by what GET does, and drops the body unread: a stream that would never end.
  app.use('*', async (c, next) =>
    c.req.method === 'HEAD' ? c.body(null, 405, { Allow: 'GET, POST, PUT' }) : next(),
  );
  app.post('*', async (c, next) => {
    // What a form or a script of another site can send without being asked for leave is never of this type.
    if (!/^application\/json\s*(?:;|$)/i.test(c.req.header('content-type') ?? ''))
      return c.json(problem('invalid', 'Content-Type: accepted is application/json'), 415);
    return next();
  });
  // Before the limit on bodies: it has its own.
  app.route('/', contentApi({ contents, stream, parsed }));
  // What waits for a registry for hours keeps nobody from looking at the store.
  app.route('/', warmApi({ warming, stream: streams(clock) }));
  app.post(
    '*',
    bodyLimit({
      maxSize: BODY_BYTES_LIMIT,
      onError: (c) =>
        c.json(problem('invalid', `the body: accepted are ${BODY_BYTES_LIMIT} bytes at most`), 413),
    }),
  );
  app.route('/', contentIntakeApi({ contents, clock, importKey }));
  app.onError((error, c) => {
    if (error instanceof StoreOperationError)
      return c.json(problem(error.reason, error.message), STATUS[error.reason]);
    return c.json(problem('failed', 'an unexpected error'), 500);
  });
  app.notFound((c) => c.json(problem('invalid', 'there is nothing at this path and method'), 404));

  app.get('/status', async (c) => c.json(await operations.status(c.req.raw.signal)));
  app.get('/pins', async (c) => c.json(await operations.pins(c.req.raw.signal)));
  app.get('/images', (c) => {
    const wanted = selectionOf(parsed(selected, c.req.query()));
    return stream(c, (signal) => operations.images(wanted, signal));
  });
  app.post('/purge', async (c) => {
    const { dryRun, ...rest } = parsed(purged, await bodyOf(c));
    const wanted = selectionOf(rest);
    return stream(c, (signal) => operations.purge(wanted, { dryRun }, signal));
  });
  app.post('/verify', async (c) => {
    const wanted = selectionOf(parsed(selected, await bodyOf(c)));
    return stream(c, (signal) => operations.verify(wanted, signal));
  });
  app.post('/evict', async (c) => {
    const options = parsed(evicted, await bodyOf(c));
    return stream(c, (signal) => operations.evict(options, signal));
  });
  app.post('/pin', async (c) =>
    c.json(await operations.pin(parsed(pinned, await bodyOf(c)).pattern, c.req.raw.signal)),
  );
  app.post('/unpin', async (c) =>
    c.json(await operations.unpin(parsed(pinned, await bodyOf(c)).pattern, c.req.raw.signal)),
  );
  addOfflineRoutes(app, offline);
  return app;
}

type Stream = <T>(c: Context, steps: (signal: AbortSignal) => AsyncIterable<T>) => Promise<Response>;

/** Answers that tell as they go, so many at the same time. */
function streams(clock: Clock): Stream {
  let count = 0;
  return (c, steps) => {
    if (count >= STREAMS_LIMIT)
      throw new StoreOperationError('busy', `${STREAMS_LIMIT} operations are running; try again later`);
    count += 1;
    return ndjson(steps, { clock, signal: c.req.raw.signal, onEnd: () => (count -= 1) });
  };
}

function problem(reason: StoreOperationReason, message: string): object {
  return { error: { reason, message } };
}

function selectionOf({ upstream, repository, tag, digest }: z.infer<typeof selected>): ImageSelection {
  if (repository !== undefined && upstream === undefined)
    throw new StoreOperationError('invalid', 'upstream: is missing beside repository');
  if ((tag !== undefined || digest !== undefined) && repository === undefined)
    throw new StoreOperationError('invalid', 'repository: is missing beside tag or digest');
  if (tag !== undefined && digest !== undefined)
    throw new StoreOperationError('invalid', 'digest: accepted is a tag or a digest, not both');
  const meant = digestFrom(digest);
  return {
    upstream,
    ...(repository !== undefined && isRepositoryName(repository) && { repository }),
    ...(meant !== undefined && { reference: { digest: meant } }),
    ...(tag !== undefined && isTag(tag) && { reference: { tag } }),
  };
}

/** Did another site's page send it? Programs send neither header. */
function isForeign(c: Context): boolean {
  const site = c.req.header('sec-fetch-site');
  if (site !== undefined) return site !== 'same-origin' && site !== 'none';
  const origin = c.req.header('origin');
  if (origin === undefined) return false;
  return !URL.canParse(origin) || new URL(origin).host !== c.req.header('host');
}

/**
 * A page's own name can be made to lead to a loopback address (DNS rebinding), and then it is the same site. An address
 * and `localhost` cannot.
 */
function isOwnHost(host: string | undefined): boolean {
  return /^(?:localhost|\d{1,3}(?:\.\d{1,3}){3}|\[[0-9a-fA-F:.]+\])(?::\d{1,5})?$/.test(host ?? '');
}
