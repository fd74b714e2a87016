import { describe, expect, it, vi } from 'vitest';
import { z } from 'zod';
import { systemClock } from '../../src/clock.ts';
import { type AdminApiParts, adminApi } from '../../src/http/admin-api.ts';
import { problem } from '../../src/http/api-problem.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { pullImage } from '../cache/store-operations-contract.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { buildImage, pushTo } from '../support/images.ts';
import { type RunningApp, startApp } from '../support/running-app.ts';
import { SOON } from '../support/soon.ts';

const TOKEN = 'canary-openapi-token';
const IMAGE = buildImage();
const BYTES = Buffer.from('some content that is brought');
const BROUGHT = digestOf(BYTES);
const APP = { upstream: 'docker.io', repository: 'library/app' };

type Json = Readonly<Record<string, unknown>>;

interface Operation {
  readonly method: string;
  readonly path: string;
  readonly summary?: string;
  readonly operationId?: string;
  readonly parameters?: readonly {
    readonly name: string;
    readonly in: string;
    readonly required?: boolean;
  }[];
  readonly requestBody?: object;
  readonly responses: Readonly<
    Record<string, { readonly content?: Readonly<Record<string, { schema: Json }>> }>
  >;
}

interface Sample {
  /** Absent: as it is documented. */
  readonly path?: string;
  readonly body?: object | Buffer;
  readonly accept?: string;
  /** Where it cannot be done here. */
  readonly status?: number;
}

/** What each is asked with, where it takes anything that must be given; in the order of the document. */
const SAMPLES: Readonly<Record<string, readonly Sample[]>> = {
  'get /images': [{}, { accept: 'application/x-ndjson' }],
  'get /images/detail': [{ path: '/images/detail?image=app:v1' }],
  'get /explain': [{ path: '/explain?image=app:v1' }],
  'get /setup': [{ path: '/setup?client=dockerd' }],
  'get /referrers': [
    { path: `/referrers?upstream=docker.io&repository=library/app&digest=${IMAGE.root.digest}` },
  ],
  'get /content/{digest}': [{ path: `/content/${IMAGE.root.digest}` }],
  'put /content/{digest}': [{ path: `/content/${BROUGHT}?upstream=docker.io`, body: BYTES }],
  'post /content/lacking': [{ body: { digests: [BROUGHT] } }],
  'post /content/withheld': [{ body: { ...APP, wanted: [{ digest: BROUGHT, isManifest: false }] } }],
  'post /images': [
    {
      body: {
        ...APP,
        tags: ['v2'],
        digest: IMAGE.root.digest,
        mediaType: IMAGE.root.mediaType,
        checkedAt: 1,
      },
    },
  ],
  'post /warm': [{ body: { targets: [{ ...APP, tag: 'v1' }] } }],
  'post /warm/jobs': [{ body: { images: ['app:v1'] } }],
  'get /warm/jobs/{id}': [{ path: '/warm/jobs/0123456789abcdef', status: 404 }],
  'post /warm/jobs/{id}/cancel': [{ path: '/warm/jobs/0123456789abcdef/cancel', body: {}, status: 404 }],
  'post /verify': [{ body: {} }],
  'post /evict': [{ body: { toBytes: 0, dryRun: true } }],
  'post /pin': [{ body: { pattern: 'app:v1' } }],
  'post /unpin': [{ body: { pattern: 'app:v1' } }],
  'post /offline': [{ body: { offline: false } }],
  'post /purge': [{ body: { ...APP, tag: 'v2' } }],
};

async function start(): Promise<RunningApp> {
  const registry = closeAfterTest(await FakeRegistry.start());
  pushTo(registry, { repository: 'library/app', tag: 'v1', image: IMAGE });
  const app = await startApp({ upstreams: [{ name: 'docker.io', url: registry.url }], adminToken: TOKEN });
  await pullImage(app, 'library/app', 'v1', IMAGE);
  const stored = async () => ((await documentAt(app, '/status')) as { blobs: number }).blobs;
  await vi.waitFor(async () => expect(await stored()).toBe(IMAGE.blobs.length + 1), SOON);
  return app;
}

async function asked(
  { adminUrl }: RunningApp,
  path: string,
  { method = 'GET', body, accept }: Sample & { method?: string } = {},
) {
  const type = body instanceof Buffer ? 'application/octet-stream' : 'application/json';
  return fetch(`${adminUrl}/api/v1${path}`, {
    method,
    headers: {
      authorization: `Bearer ${TOKEN}`,
      ...(body && { 'content-type': type }),
      ...(accept !== undefined && { accept }),
    },
    ...(body && { body: body instanceof Buffer ? new Uint8Array(body) : JSON.stringify(body) }),
    signal: AbortSignal.timeout(15_000),
  });
}

async function documentAt(app: RunningApp, path: string): Promise<unknown> {
  return (await asked(app, path)).json();
}

interface ApiDocument {
  readonly openapi: string;
  readonly info: Json;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Json>> };
}

function operationsOf({ paths }: ApiDocument): readonly Operation[] {
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => Object.assign({}, operation, { method, path })),
  );
}

/** The document's own schema, and not the one that it was made from. */
function checkerOf(schema: Json, { components }: ApiDocument): z.ZodType {
  const text = JSON.stringify({ ...schema, $defs: components.schemas });
  return z.fromJSONSchema(JSON.parse(text.replaceAll('#/components/schemas/', '#/$defs/')) as Json);
}

/** What an answer gives, parsed as its type says; of an endless one the beginning. */
async function documentsOf(answer: Response, type: string): Promise<readonly unknown[]> {
  if (type === 'text/event-stream' || type === 'application/octet-stream') {
    await answer.body?.cancel();
    return [];
  }
  const text = await answer.text();
  if (type !== 'application/x-ndjson') return [JSON.parse(text)];
  return text.split('\n').flatMap((line): unknown[] => (line === '' ? [] : [JSON.parse(line)]));
}

describe('the OpenAPI document', () => {
  it('has every route of the API, and no other', () => {
    const unused = new Proxy({}, { get: () => () => undefined }) as never;
    const parts: AdminApiParts = {
      operations: unused,
      contents: unused,
      catalogue: unused,
      offline: unused,
      warming: unused,
      warmJobs: unused,
      activity: unused,
      upstreams: unused,
      explain: unused,
      reload: unused,
      setup: unused,
      clock: systemClock,
      version: '0.0.0',
      needsOwnHost: false,
      importKey: 'key',
      onUnexpected: () => undefined,
    };
    const api = adminApi(parts);
    const document = api.getOpenAPI31Document({ openapi: '3.1.0', info: { title: '', version: '' } });
    const routes = api.routes
      .filter(({ method, path }) => method !== 'ALL' && !path.includes('*'))
      .map(({ method, path }) => `${method.toLowerCase()} ${path.replaceAll(/:(\w+)/g, '{$1}')}`);
    const documented = operationsOf(document as unknown as ApiDocument).map(
      ({ method, path }) => `${method} ${path}`,
    );
    expect([...new Set(routes)].toSorted()).toEqual(documented.toSorted());
    expect(documented.length).toBeGreaterThan(30);
  });

  it('is OpenAPI 3.1: what it refers to is there, parameters of paths are told, each operation has a name of its own', async () => {
    const app = await start();
    const document = (await documentAt(app, '/openapi.json')) as ApiDocument;
    expect(document.openapi).toBe('3.1.0');
    expect(document.info).toMatchObject({ title: expect.any(String), version: expect.any(String) });
    const operations = operationsOf(document);
    for (const { path, method, parameters = [], summary, responses, requestBody } of operations) {
      const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      const told = parameters.filter((parameter) => parameter.in === 'path');
      expect([method, path, told.map(({ name }) => name)]).toEqual([method, path, inPath]);
      expect(told.every(({ required }) => required === true)).toBe(true);
      expect(summary).toMatch(/^[A-Z].*[^.]$/);
      expect(Object.keys(responses)).toEqual(['200', 'default']);
      if (method === 'get') expect(requestBody).toBeUndefined();
    }
    const ids = operations.map(({ operationId }) => operationId);
    expect(new Set(ids).size).toBe(operations.length);
    const references = [...JSON.stringify(document).matchAll(/"\$ref":"([^"]+)"/g)].map(([, to]) => to ?? '');
    expect(references.length).toBeGreaterThan(20);
    for (const to of new Set(references))
      expect(document.components.schemas).toHaveProperty([to.replace('#/components/schemas/', '')]);
  });

  it('describes every answer of a server that runs', async () => {
    const app = await start();
    const document = (await documentAt(app, '/openapi.json')) as ApiDocument;
    const status = { $ref: '#/components/schemas/StoreStatus' };
    expect(checkerOf(status, document).safeParse({ isServed: true, bytes: 'many' }).success).toBe(false);
    for (const { method, path, parameters = [], requestBody, responses } of operationsOf(document)) {
      const name = `${method} ${path}`;
      const needs = requestBody !== undefined || parameters.some(({ required }) => required === true);
      const samples: readonly Sample[] =
        SAMPLES[name] ?? (needs ? [] : [method === 'get' ? {} : { body: {} }]);
      expect([name, samples.length]).not.toEqual([name, 0]);
      for (const sample of samples) {
        const answer = await asked(app, sample.path ?? path, { ...sample, method: method.toUpperCase() });
        const type = answer.headers.get('content-type')?.split(';')[0] ?? '';
        const isDone = answer.status === 200;
        // What is refused here says so: there is no file to reload from, for one.
        if (sample.status !== undefined || (!isDone && name === 'post /reload'))
          expect([name, answer.status]).toEqual([name, sample.status ?? answer.status]);
        else expect([name, answer.status]).toEqual([name, 200]);
        const content = responses[isDone ? '200' : 'default']?.content?.[type];
        expect([name, type, content]).toEqual([name, type, expect.anything()]);
        const checker = checkerOf(content?.schema ?? {}, document);
        for (const told of await documentsOf(answer, type)) {
          if (type === 'application/x-ndjson' && typeof told === 'object' && told !== null && 'end' in told)
            continue;
          const result = checker.safeParse(told);
          expect([name, result.error?.issues ?? []]).toEqual([name, []]);
        }
      }
    }
  });

  it('describes refusals, and nothing changes by what is refused', async () => {
    const app = await start();
    const document = (await documentAt(app, '/openapi.json')) as ApiDocument;
    const before = await documentAt(app, '/images');
    for (const { method, path } of operationsOf(document)) {
      const sample = SAMPLES[`${method} ${path}`]?.[0];
      const at = (sample?.path ?? path).replaceAll(/\{\w+\}/g, 'x');
      const query = `${at.includes('?') ? '&' : '?'}colour=red`;
      const body = method === 'get' ? undefined : (sample?.body ?? {});
      const answer = await asked(app, at + query, { method: method.toUpperCase(), ...(body && { body }) });
      expect([path, answer.status, answer.headers.get('content-type')]).toEqual([
        path,
        400,
        'application/problem+json',
      ]);
      expect(problem.parse(await answer.json())).toMatchObject({ status: 400, reason: 'invalid' });
      const anonymous = await fetch(`${app.adminUrl}/api/v1${at}`, { method: method.toUpperCase() });
      expect([path, anonymous.status]).toEqual([path, 401]);
      expect(problem.parse(await anonymous.json())).toMatchObject({ status: 401, reason: 'refused' });
    }
    expect(await documentAt(app, '/images')).toMatchObject({
      images: (before as { images: unknown[] }).images,
    });
  });
});
