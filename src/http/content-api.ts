import { z } from 'zod';
import type { ContentEntry, StoreContents } from '../cache/store-contents.ts';
import { type ContentPage, contentPage } from '../cache/store-events.ts';
import { StoreOperationError } from '../cache/store-operation-error.ts';
import { isRepositoryName, parseRepositoryName } from '../oci/reference.ts';
import { digestText as digest } from './api-input.ts';
import { tooLarge } from './api-problem.ts';
import { limitedBody } from './limited-body.ts';
import {
  type Api,
  addPlainRoute,
  addRoute,
  addStreamRoute,
  named,
  newApi,
  type Stream,
} from './api-routes.ts';

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
const page = named('ContentPage', contentPage);
const digests = z.object({ digests: z.array(z.string()) });
const tag = 'contents';
const limited = limitedBody(BODY_BYTES_LIMIT, () => tooLarge(BODY_BYTES_LIMIT));

export interface ContentApiParts {
  readonly contents: StoreContents;
  readonly stream: Stream;
}

/** The bytes of the store, for carrying them to another: part of the admin API, behind its guards. */
export function contentApi({ contents, stream }: ContentApiParts): Api {
  const api = newApi();
  addStreamRoute(
    api,
    { method: 'get', path: '/content', tag, summary: 'All that is stored, by digest', event: page },
    stream,
    () => (signal) => pagesOf(contents.list(signal)),
  );
  addBodyRoute(api, contents);
  addRoute(
    api,
    {
      method: 'post',
      path: '/content/lacking',
      tag,
      summary: 'Which of these digests are not stored',
      body: asked,
      answer: digests,
      middleware: limited,
    },
    async ({ body, signal }) => ({ digests: [...(await contents.lacking(body.digests, signal))] }),
  );
  addRoute(
    api,
    {
      method: 'post',
      path: '/content/withheld',
      tag,
      summary: "Which of these clients of a repository are not given without its upstream's word",
      body: wantedOfRepository,
      answer: digests,
      middleware: limited,
    },
    async ({ body: { upstream, repository, wanted }, signal }) => {
      const key = { upstream, repository: parseRepositoryName(repository) };
      return { digests: [...(await contents.withheld(key, wanted, signal))] };
    },
  );
  addRoute(
    api,
    {
      method: 'get',
      path: '/referrers',
      tag,
      summary: 'Descriptors of what refers to a manifest, as its upstream last listed them',
      query: subject,
      answer: z.object({ referrers: z.array(z.record(z.string(), z.unknown())) }),
    },
    async ({ query: { upstream, repository, digest: of }, signal }) => {
      const key = { upstream, repository: parseRepositoryName(repository) };
      return { referrers: [...(await contents.referrers(key, of, signal))] };
    },
  );
  return api;
}

function addBodyRoute(api: Api, contents: StoreContents): void {
  let bodies = 0;
  addPlainRoute(
    api,
    {
      method: 'get',
      path: '/content/{digest}',
      tag,
      summary: 'The bytes of stored content',
      description: 'What fails on the way ends the connection before the length that the head says.',
      params: z.strictObject({ digest }),
      query: z.strictObject({
        use: z
          .enum(['true', 'false'], { error: 'accepted is true or false' })
          .optional()
          .meta({ description: 'false: it is not counted as used' }),
      }),
      content: { 'application/octet-stream': { schema: z.string().meta({ format: 'binary' }) } },
    },
    async ({ params: { digest: wanted }, query, signal, c }) => {
      if (bodies >= BODIES_LIMIT)
        throw new StoreOperationError('busy', `${BODIES_LIMIT} bodies are being read; try again later`);
      bodies += 1;
      const options = { isUse: query.use !== 'false' };
      const found = await contents.read(wanted, signal, options).catch((error: unknown) => {
        bodies -= 1;
        throw error;
      });
      if (found === undefined) {
        bodies -= 1;
        throw new StoreOperationError('not-found', `${wanted} is not stored`);
      }
      return new Response(
        streamOf(found.body, signal, {
          onEnd: () => (bodies -= 1),
          breakOff: () => c.env.outgoing.destroy(),
        }),
        {
          headers: { 'Content-Type': 'application/octet-stream', 'Content-Length': String(found.sizeBytes) },
        },
      );
    },
  );
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
