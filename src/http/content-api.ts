import type { HttpBindings } from '@hono/node-server';
import { type Context, Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { z } from 'zod';
import type { ContentEntry, StoreContents } from '../cache/store-contents.ts';
import type { ContentPage } from '../cache/store-events.ts';
import { StoreOperationError } from '../cache/store-operation-error.ts';
import { isRepositoryName, parseRepositoryName } from '../oci/reference.ts';
import { digestText as digest } from './api-input.ts';

/** 1000 digests of the longest kind, with room to spare. */
const BODY_BYTES_LIMIT = 256 * 1024;
const DIGESTS_LIMIT = 1000;
/** Bodies on their way at the same time: each holds a buffer and a file. */
const BODIES_LIMIT = 16;
/** Digests in a line of a list. */
const LINE_COUNT = 500;

const asked = z.strictObject({ digests: z.array(digest).max(DIGESTS_LIMIT) });
const repositoryKey = {
  upstream: z.string().min(1).max(255),
  repository: z.string().refine(isRepositoryName, { error: 'accepted is the name of a repository, in full' }),
};
const subject = z.strictObject({ ...repositoryKey, digest });
const wantedOfRepository = z.strictObject({
  ...repositoryKey,
  wanted: z.array(z.strictObject({ digest, isManifest: z.boolean() })).max(DIGESTS_LIMIT),
});

export interface ContentApiParts {
  readonly contents: StoreContents;
  /** Answers with what is told, as it is told. */
  readonly stream: <T>(c: Context, steps: (signal: AbortSignal) => AsyncIterable<T>) => Promise<Response>;
  /** @throws StoreOperationError `invalid` */
  readonly parsed: <T>(schema: z.ZodType<T>, value: unknown) => T;
}

/** The bytes of the store, for carrying them to another: part of the admin API, behind its guards. */
export function contentApi({ contents, stream, parsed }: ContentApiParts): Hono<{ Bindings: HttpBindings }> {
  const app = new Hono<{ Bindings: HttpBindings }>();
  let bodies = 0;

  app.get('/content', (c) => stream(c, (signal) => pagesOf(contents.list(signal))));
  app.get('/content/:digest', async (c) => {
    const wanted = parsed(digest, c.req.param('digest'));
    if (bodies >= BODIES_LIMIT)
      throw new StoreOperationError('busy', `${BODIES_LIMIT} bodies are being read; try again later`);
    bodies += 1;
    const options = { isUse: c.req.query('use') !== 'false' };
    const found = await contents.read(wanted, c.req.raw.signal, options).catch((error: unknown) => {
      bodies -= 1;
      throw error;
    });
    if (found === undefined) {
      bodies -= 1;
      throw new StoreOperationError('not-found', `${wanted} is not stored`);
    }
    return new Response(
      streamOf(found.body, c.req.raw.signal, {
        onEnd: () => (bodies -= 1),
        breakOff: () => c.env.outgoing.destroy(),
      }),
      { headers: { 'Content-Type': 'application/octet-stream', 'Content-Length': String(found.sizeBytes) } },
    );
  });
  const limited = bodyLimit({
    maxSize: BODY_BYTES_LIMIT,
    onError: () => {
      throw new StoreOperationError('invalid', `the body: accepted are ${BODY_BYTES_LIMIT} bytes at most`);
    },
  });
  app.post('/content/lacking', limited, async (c) => {
    const { digests } = parsed(asked, await c.req.json<unknown>().catch(() => undefined));
    return c.json({ digests: await contents.lacking(digests, c.req.raw.signal) });
  });
  app.post('/content/withheld', limited, async (c) => {
    const body: unknown = await c.req.json<unknown>().catch(() => undefined);
    const { upstream, repository, wanted } = parsed(wantedOfRepository, body);
    const key = { upstream, repository: parseRepositoryName(repository) };
    return c.json({ digests: await contents.withheld(key, wanted, c.req.raw.signal) });
  });
  app.get('/referrers', async (c) => {
    const { upstream, repository, digest: of } = parsed(subject, c.req.query());
    const key = { upstream, repository: parseRepositoryName(repository) };
    return c.json({ referrers: await contents.referrers(key, of, c.req.raw.signal) });
  });
  return app;
}

async function* pagesOf(entries: AsyncIterable<ContentEntry>): AsyncGenerator<ContentPage, void> {
  let contents: [string, number][] = [];
  for await (const { digest: name, sizeBytes } of entries) {
    contents.push([name, sizeBytes]);
    if (contents.length < LINE_COUNT) continue;
    yield { contents };
    contents = [];
  }
  if (contents.length > 0) yield { contents };
}

/** What fails breaks the answer off: with fewer bytes than its head says it cannot be taken for whole. */
function streamOf(
  body: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
  { onEnd, breakOff }: { readonly onEnd: () => void; readonly breakOff: () => void },
): ReadableStream<Uint8Array> {
  const chunks = body[Symbol.asyncIterator]();
  let ahead: ReturnType<typeof chunks.next> | undefined;
  let isOver = false;
  const end = (): void => {
    if (isOver) return;
    isOver = true;
    signal.removeEventListener('abort', end);
    onEnd();
  };
  // Of a body that nobody has begun to read nobody says that it is not wanted any more.
  signal.addEventListener('abort', end);
  return new ReadableStream<Uint8Array>(
    {
      pull: async (controller) => {
        try {
          const { done, value } = await (ahead ?? chunks.next());
          if (done !== true) {
            // A chunk is lent until the next is asked for, and the connection may take its time.
            const copy = new Uint8Array(value);
            // The next one is read and hashed while this one is sent.
            ahead = chunks.next();
            ahead.catch(() => undefined);
            controller.enqueue(copy);
          } else {
            controller.close();
            end();
          }
        } catch {
          // The store has told its observers; an error of the stream would be printed besides.
          breakOff();
          end();
        }
      },
      cancel: async () => {
        end();
        await chunks.return?.();
      },
    },
    { highWaterMark: 0 },
  );
}
