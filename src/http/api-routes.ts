import type { HttpBindings } from '@hono/node-server';
import { createRoute, OpenAPIHono } from '@hono/zod-openapi';
import type { Context, MiddlewareHandler } from 'hono';
import { z } from 'zod';
import { StoreOperationError } from '../cache/store-operation-error.ts';
import { bodyOf, parsed } from './api-input.ts';
import { bodyTextOf } from './limited-body.ts';
import { problem, PROBLEM_TYPE } from './api-problem.ts';

/** Routes of the admin API, with what is told of them in its OpenAPI document. */
export type Api = OpenAPIHono<{ Bindings: HttpBindings }>;
export type ApiContext = Context<{ Bindings: HttpBindings }>;

/** Answers with what is told, as it is told. */
export type Stream = <T>(
  c: ApiContext,
  steps: (signal: AbortSignal) => AsyncIterable<T>,
) => Promise<Response>;

const nothing = z.strictObject({});

/** What a route takes. Every key that is not in its schemas is an error, and so is one that is repeated in a query. */
export interface RouteInput<Q, B, P> {
  readonly method: 'get' | 'post' | 'put';
  /** Below /api/v1, with parameters as `{name}`. */
  readonly path: string;
  /** What it is about: routes are grouped by it. */
  readonly tag: string;
  /** One line. */
  readonly summary: string;
  readonly description?: string;
  /** Absent: it takes none. A strict object, whose values are parsed from text. */
  readonly query?: z.ZodObject & z.ZodType<Q>;
  readonly params?: z.ZodObject & z.ZodType<P>;
  /** Absent: none is read. */
  readonly body?: z.ZodType<B>;
  /** Another body than JSON, read by the handler. */
  readonly upload?: string;
  /** Before anything of the request is looked at. */
  readonly middleware?: MiddlewareHandler;
}

export interface RouteCall<Q, B, P> {
  readonly query: Q;
  readonly body: B;
  readonly params: P;
  /** Aborted when the client is gone. */
  readonly signal: AbortSignal;
  readonly c: ApiContext;
}

/**
 * A schema of an answer under a name of its own in the OpenAPI document. Once for each name: others refer to what it gives.
 */
export function named<T extends z.ZodType>(name: string, schema: T): T {
  // A copy: only what is made after zod-openapi was loaded has its methods, and the document stays as it was.
  return schema.clone().openapi(name);
}

export function newApi(): Api {
  return new OpenAPIHono<{ Bindings: HttpBindings }>();
}

/** A route that answers with one JSON document. What `answer` fails with becomes a problem. */
export function addRoute<A extends z.ZodType, Q = undefined, B = undefined, P = undefined>(
  api: Api,
  route: RouteInput<Q, B, P> & { readonly answer: A },
  answer: (call: RouteCall<Q, B, P>) => Promise<z.input<A>> | z.input<A>,
): void {
  const content = { 'application/json': { schema: route.answer } };
  register(api, route, content, async (call) => call.c.json(await answer(call)));
}

const lastLine = named(
  'LastLine',
  z.union([
    z.object({ end: z.literal(true) }),
    z.object({ error: z.object({ reason: problem.shape.reason, message: z.string() }) }),
  ]),
);

/** A route that answers with a document a line, as work goes on. See `ndjson`. */
export function addStreamRoute<A extends z.ZodType, Q = undefined, B = undefined, P = undefined>(
  api: Api,
  route: RouteInput<Q, B, P> & { readonly event: A },
  stream: Stream,
  steps: (call: RouteCall<Q, B, P>) => (signal: AbortSignal) => AsyncIterable<z.input<A>>,
): void {
  const content = { 'application/x-ndjson': { schema: z.union([route.event, lastLine]) } };
  const note =
    'A document a line; blank lines mean nothing. The last one is `{"end":true}` or `{"error":{…}}`: without either the answer was cut off.';
  const description = route.description === undefined ? note : `${route.description} ${note}`;
  register(api, { ...route, description }, content, async (call) => stream(call.c, steps(call)));
}

/** A route whose answer is the handler's own. */
export function addPlainRoute<Q = undefined, B = undefined, P = undefined>(
  api: Api,
  route: RouteInput<Q, B, P> & { readonly content: Content },
  answer: (call: RouteCall<Q, B, P>) => Promise<Response>,
): void {
  register(api, route, route.content, answer);
}

type Content = Readonly<Record<string, { readonly schema: z.ZodType }>>;

function register<Q, B, P>(
  api: Api,
  route: RouteInput<Q, B, P>,
  content: Content,
  answer: (call: RouteCall<Q, B, P>) => Promise<Response>,
): void {
  const { method, path, query, params, body, upload } = route;
  describe(api, route, content);
  const before = route.middleware === undefined ? [] : [route.middleware];
  api.on([method.toUpperCase()], [path.replaceAll(/\{(.+?)\}/g, ':$1')], ...before, async (c) => {
    const call: RouteCall<Q, B, P> = {
      query: parsed<Q>((query ?? nothing) as z.ZodType<Q>, queryOf(c)),
      params: (params && parsed<P>(params, c.req.param())) as P,
      body: (body && parsed<B>(body, await bodyOf(c))) as B,
      signal: c.req.raw.signal,
      c,
    };
    if (body === undefined && upload === undefined && method === 'post') await assertNoBody(c);
    return answer(call);
  });
}

/** A post without a body takes none but an empty object, which some programs must send. */
async function assertNoBody(c: ApiContext): Promise<void> {
  if ((await bodyTextOf(c)) !== '') parsed(nothing, await bodyOf(c));
}

/** @throws StoreOperationError for what is given more than once: which of them was meant? */
function queryOf(c: ApiContext): Record<string, string> {
  const query: [string, string][] = [];
  for (const [key, values] of Object.entries(c.req.queries())) {
    const [value = '', ...others] = values;
    if (others.length > 0)
      throw new StoreOperationError('invalid', `${key.slice(0, 100)}: is given ${values.length} times`);
    query.push([key, value]);
  }
  return Object.fromEntries(query);
}

const problemContent = { [PROBLEM_TYPE]: { schema: named('Problem', problem) } };

function describe<Q, B, P>(api: Api, route: RouteInput<Q, B, P>, content: Content): void {
  const { method, path, tag, summary, description, query, params, body, upload } = route;
  const sent =
    body !== undefined
      ? { 'application/json': { schema: body } }
      : upload !== undefined && { [upload]: { schema: z.string().meta({ format: 'binary' }) } };
  api.openAPIRegistry.registerPath(
    createRoute({
      method,
      path,
      operationId: operationIdOf(method, path),
      tags: [tag],
      summary,
      ...(description !== undefined && { description }),
      request: {
        ...(query && { query }),
        ...(params && { params }),
        ...(sent && { body: { required: true, content: sent } }),
      },
      responses: {
        200: { description: 'Done.', content },
        default: { description: 'It was not done; `detail` says why.', content: problemContent },
      },
    }),
  );
}

/** `postWarmJobsIdCancel` */
function operationIdOf(method: string, path: string): string {
  const words = path.split(/[^A-Za-z0-9]+/).filter((word) => word !== '');
  return method + words.map((word) => word.slice(0, 1).toUpperCase() + word.slice(1)).join('');
}
