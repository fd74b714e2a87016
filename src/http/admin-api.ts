import { z } from 'zod';
import type { ActivityOperations } from '../activity/activity-operations.ts';
import type { UpstreamOperations } from '../activity/upstream-standing.ts';
import type { Clock } from '../clock.ts';
import type { CatalogueOperations } from '../cache/catalogue-operations.ts';
import type { StoreContents } from '../cache/store-contents.ts';
import type { StoreOperations } from '../cache/store-operations.ts';
import type { ExplainOperations } from '../pull-through/explain-operations.ts';
import type { OfflineOperations } from '../pull-through/offline-operations.ts';
import type { ReloadOperations } from '../reload-operations.ts';
import type { WarmJobOperations } from '../warm/warm-jobs.ts';
import type { WarmOperations } from '../warm/warm-operations.ts';
import { CSRF_HEADER, SESSION_COOKIE } from './admin-access.ts';
import { addActivityRoutes } from './activity-api.ts';
import { errorAnswerOf, isForeseen, problemAnswer, tooLarge } from './api-problem.ts';
import { type Api, addRoute, newApi } from './api-routes.ts';
import { apiStreams } from './api-streams.ts';
import { isForeign, isOwnHost } from './browser-request.ts';
import { addConfigRoutes } from './config-api.ts';
import { contentApi } from './content-api.ts';
import { contentIntakeApi } from './content-intake-api.ts';
import { addExplainRoutes } from './explain-api.ts';
import { addImageRoutes } from './images-api.ts';
import { addLiveRoutes } from './live-api.ts';
import { limitedBody } from './limited-body.ts';
import { LiveEvents } from './live-events.ts';
import { addOfflineRoutes } from './offline-api.ts';
import { addSetupRoutes, type SetupApiParts } from './setup-api.ts';
import { addStoreRoutes } from './store-api.ts';
import { addUpstreamRoutes } from './upstreams-api.ts';
import { warmApi } from './warm-api.ts';

const BODY_BYTES_LIMIT = 16 * 1024;

/** What the API does. Of what is absent there are no routes. */
export interface AdminApiParts {
  readonly operations: StoreOperations;
  readonly contents: StoreContents;
  readonly offline: OfflineOperations;
  /** Runs of both are jobs. */
  readonly warming: WarmOperations;
  readonly warmJobs: WarmJobOperations;
  readonly catalogue: CatalogueOperations;
  readonly activity?: ActivityOperations | undefined;
  readonly upstreams?: UpstreamOperations | undefined;
  readonly explain?: ExplainOperations | undefined;
  readonly reload?: ReloadOperations | undefined;
  readonly setup: SetupApiParts;
  readonly clock: Clock;
  /** entrepot's, told in every answer. */
  readonly version: string;
  /** Without a token everybody who reaches the listener may ask, and by a name of its own a web page could: see `isOwnHost`. */
  readonly needsOwnHost: boolean;
  /** Asked of who brings images, besides: see import-key. */
  readonly importKey: string;
  /** Told of a fault of this program that kept a request from being answered. Must not throw. */
  readonly onUnexpected: (error: unknown) => void;
}

/**
 * What operators ask, for `entrepot` commands, the web page and scripts: JSON, and NDJSON where work goes on for long. What
 * it takes and gives is told by /openapi.json, from the schemas that check it; errors are problem details (api-problem).
 */
export function adminApi(parts: AdminApiParts): Api {
  const { operations, contents, warming, offline, clock, importKey } = parts;
  const api = newApi();
  const stream = apiStreams(parts);

  addGuards(api, parts);
  // Before the limit on bodies: it has its own.
  api.route('/', contentApi({ contents, stream }));
  // What waits for a registry for hours keeps nobody from looking at the store.
  api.route('/', warmApi({ warming, jobs: parts.warmJobs, stream: apiStreams(parts) }));
  api.post(
    '*',
    limitedBody(BODY_BYTES_LIMIT, () => tooLarge(BODY_BYTES_LIMIT)),
  );
  api.route('/', contentIntakeApi({ contents, clock, importKey }));
  addStoreRoutes(api, { operations, stream });
  addImageRoutes(api, { operations, catalogue: parts.catalogue, stream });
  addOfflineRoutes(api, offline);
  if (parts.activity) {
    addActivityRoutes(api, parts.activity);
    addLiveRoutes(api, new LiveEvents({ activity: parts.activity, clock }));
  }
  if (parts.upstreams) addUpstreamRoutes(api, parts.upstreams);
  if (parts.explain) addExplainRoutes(api, parts.explain);
  if (parts.reload) addConfigRoutes(api, parts.reload);
  addSetupRoutes(api, parts.setup);
  addDocument(api, parts.version);
  addElsewhere(api);
  return api;
}

function addGuards(api: Api, { needsOwnHost, version, onUnexpected }: AdminApiParts): void {
  api.use('*', async (c, next) => {
    await next();
    c.header('Cache-Control', 'no-store');
    c.header('X-Content-Type-Options', 'nosniff');
    c.header('Entrepot-Version', version);
  });
  api.use('*', async (c, next) => {
    if (needsOwnHost && !isOwnHost(c.req.header('host')))
      return problemAnswer('refused', 'Host: accepted is an IP address or localhost', 403);
    if (isForeign(c.req))
      return problemAnswer('refused', 'requests that other web sites cause are not taken', 403);
    return next();
  });
  // hono answers HEAD by what GET does, and drops the body unread: a stream that would never end.
  api.use('*', async (c, next) =>
    c.req.method === 'HEAD' ? c.body(null, 405, { Allow: 'GET, POST, PUT' }) : next(),
  );
  api.post('*', async (c, next) => {
    // What a form or a script of another site can send without being asked for leave is never of this type.
    if (!/^application\/json\s*(?:;|$)/i.test(c.req.header('content-type') ?? ''))
      return problemAnswer('invalid', 'Content-Type: accepted is application/json', 415);
    return next();
  });
  api.onError((error) => {
    if (!isForeseen(error)) onUnexpected(error);
    return errorAnswerOf(error);
  });
}

/** What no route takes: the last one. (hono asks the `notFound` of the outermost app alone.) */
function addElsewhere(api: Api): void {
  const routes = api.routes
    .filter(({ method, path }) => method !== 'ALL' && !path.includes('*'))
    .map(({ method, path }) => ({
      method,
      path: new RegExp(`(?:^|/api/v1)${path.replaceAll(/:[^/]+/g, '[^/]+')}$`),
    }));
  api.all('*', (c) => {
    const there = routes.filter(({ path }) => path.test(c.req.path)).map(({ method }) => method);
    if (there.length === 0) return problemAnswer('invalid', 'there is nothing at this path', 404);
    const allow = [...new Set(there)].join(', ');
    const answer = problemAnswer('invalid', `${c.req.method}: accepted is ${allow}`, 405);
    answer.headers.set('Allow', allow);
    return answer;
  });
}

/** The OpenAPI document, made when it is first asked for. */
function addDocument(api: Api, version: string): void {
  let document: Record<string, unknown> | undefined;
  api.openAPIRegistry.registerComponent('securitySchemes', 'token', {
    type: 'http',
    scheme: 'bearer',
    description: '`admin.token` of the configuration, where it has one.',
  });
  api.openAPIRegistry.registerComponent('securitySchemes', 'session', {
    type: 'apiKey',
    in: 'cookie',
    name: SESSION_COOKIE,
    description: `Of the web page, which sends ${CSRF_HEADER} besides with what changes something.`,
  });
  addRoute(
    api,
    {
      method: 'get',
      path: '/openapi.json',
      tag: 'about',
      summary: 'This document',
      answer: z.record(z.string(), z.unknown()),
    },
    () => {
      document ??= {
        ...api.getOpenAPI31Document({
          openapi: '3.1.0',
          info: {
            title: "entrepot's admin API",
            version,
            description:
              'What operators ask of a running entrepot. Sizes are bytes, times milliseconds since 1970. Newer versions may tell more than is written here.',
            license: { name: 'Apache-2.0' },
          },
          servers: [{ url: '/api/v1' }],
          security: [{ token: [] }, { session: [] }, {}],
        }),
      };
      return document;
    },
  );
}
