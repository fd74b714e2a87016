import type { IncomingMessage } from 'node:http';
import type { MiddlewareHandler } from 'hono';
import { z } from 'zod';
import type { Clock } from '../clock.ts';
import type { StoreContents } from '../cache/store-contents.ts';
import { StoreOperationError } from '../cache/store-operation-error.ts';
import { MANIFEST_MEDIA_TYPES } from '../oci/media-type.ts';
import { isTag, parseRepositoryName, parseTag } from '../oci/reference.ts';
import { digestText as digest, parsed, repositoryName, upstreamName } from './api-input.ts';
import { problemAnswer } from './api-problem.ts';
import { type Api, addPlainRoute, addRoute, newApi } from './api-routes.ts';
import { isBearer } from './bearer-token.ts';

/** Bodies that come in at the same time: each gathers 1 MiB. */
const BODIES_LIMIT = 8;
/** Without a byte for so long nobody sends it any more. */
const STALL_MS = 60_000;

const NOT_ALLOWED =
  'to bring images takes admin.token of the configuration or, where it has none, import.key of the data directory, which its user may read';
const sizeBytes = z.coerce
  .number({ error: 'accepted is a length in bytes' })
  .int()
  .nonnegative({ error: 'accepted is a length in bytes' });
const sent = z.object({ 'content-length': sizeBytes });
const outcome = z.object({ outcome: z.enum(['added', 'present']) });
const image = z.strictObject({
  upstream: upstreamName,
  repository: repositoryName,
  tags: z.array(z.string().refine(isTag, { error: 'accepted are tags' })),
  digest,
  mediaType: z.enum(MANIFEST_MEDIA_TYPES, { error: `accepted are ${MANIFEST_MEDIA_TYPES.join(', ')}` }),
  checkedAt: z.number().nonnegative(),
  isAlone: z.boolean({ error: 'accepted is true or false' }).optional(),
});

export interface ContentIntakeApiParts {
  readonly contents: StoreContents;
  readonly clock: Clock;
  /** What a request must have as its bearer token: what it brings is served as if an upstream had sent it. */
  readonly importKey: string;
}

/** Content and images that are brought to the store: part of the admin API, behind its guards. */
export function contentIntakeApi({ contents, clock, importKey }: ContentIntakeApiParts): Api {
  const api = newApi();
  const guard: MiddlewareHandler = async (c, next) =>
    isBearer(c.req.header('authorization'), importKey) ? next() : problemAnswer('refused', NOT_ALLOWED, 403);
  addUploadRoute(api, { contents, clock }, guard);
  addRoute(
    api,
    {
      method: 'post',
      path: '/images',
      tag: 'contents',
      summary: 'Name an image whose content was brought',
      body: image,
      answer: outcome,
      middleware: guard,
    },
    async ({ body: { repository, tags, ...facts }, signal }) => {
      const brings = { ...facts, repository: parseRepositoryName(repository), tags: tags.map(parseTag) };
      return { outcome: await contents.addImage(brings, signal) };
    },
  );
  return api;
}

function addUploadRoute(
  api: Api,
  { contents, clock }: Pick<ContentIntakeApiParts, 'contents' | 'clock'>,
  guard: MiddlewareHandler,
): void {
  let bodies = 0;
  addPlainRoute(
    api,
    {
      method: 'put',
      path: '/content/{digest}',
      tag: 'contents',
      summary: 'Bring content; it is verified before it can be seen',
      params: z.strictObject({ digest }),
      query: z.strictObject({ upstream: upstreamName }),
      upload: 'application/octet-stream',
      content: { 'application/json': { schema: outcome } },
      middleware: guard,
    },
    async ({ params, query: { upstream }, signal, c }) => {
      // Of this type no form of another site can send anything.
      if (c.req.header('content-type') !== 'application/octet-stream')
        throw new StoreOperationError('invalid', 'Content-Type: accepted is application/octet-stream');
      const { 'content-length': length } = parsed(sent, { 'content-length': c.req.header('content-length') });
      if (bodies >= BODIES_LIMIT)
        throw new StoreOperationError('busy', `${BODIES_LIMIT} bodies are coming in; try again later`);
      bodies += 1;
      try {
        const { incoming, outgoing } = c.env;
        const isExpecting = c.req.header('expect')?.toLowerCase() === '100-continue';
        const onAsked = (): void => {
          if (isExpecting) outgoing.writeContinue();
        };
        const body = incomingBody(incoming, { clock, onAsked });
        const content = { digest: params.digest, upstream, sizeBytes: length };
        return c.json({ outcome: await contents.add(content, body, signal) });
      } finally {
        bodies -= 1;
      }
    },
  );
}

/** @param onAsked called when the first byte is wanted: a client that asked whether to send it sends it then */
async function* incomingBody(
  incoming: IncomingMessage,
  { clock, onAsked }: { readonly clock: Clock; readonly onAsked: () => void },
): AsyncGenerator<Uint8Array, void, undefined> {
  onAsked();
  // Its end would end the connection, and with it the answer.
  const chunks = incoming.iterator({ destroyOnReturn: false }) as AsyncIterator<Uint8Array>;
  const watch = new AbortController();
  const stalled = new StoreOperationError('failed', 'the body stopped coming in');
  let movedAt = clock.monotonic();
  void endStalled(clock, watch.signal, () => {
    if (clock.monotonic() - movedAt >= STALL_MS) incoming.destroy(stalled);
  });
  try {
    for (;;) {
      movedAt = clock.monotonic();
      const { done, value } = await chunks.next();
      if (done === true) return;
      // While it is stored nobody is late.
      movedAt = Infinity;
      yield value;
    }
  } catch (cause) {
    if (cause instanceof StoreOperationError) throw cause;
    throw new StoreOperationError('failed', 'the body broke off', { cause });
  } finally {
    watch.abort();
  }
}

async function endStalled(clock: Clock, signal: AbortSignal, look: () => void): Promise<void> {
  while (!signal.aborted) {
    await clock.sleep(STALL_MS / 4, signal).catch(() => undefined);
    if (!signal.aborted) look();
  }
}
