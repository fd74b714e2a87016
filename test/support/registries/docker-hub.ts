import { jsonReply, type Reply, textReply } from '../reply.ts';
import {
  type EmulatedRegistry,
  ociError,
  redirectTo,
  scopeOf,
  type Wire,
  type WireRequest,
  withHeaders,
} from './emulated-registry.ts';

const AUTH = 'auth.docker.io';
const CDN = 'production.cloudflare.docker.com';
const SOURCE = { 'docker-ratelimit-source': '192.0.2.1' };
const REMAINING = { 'ratelimit-limit': '100;w=21600', 'ratelimit-remaining': '97;w=21600', ...SOURCE };

/** [hub-docs], [dist], [issues]: 401 for missing and private alike; pull quota in headers; blobs at a CDN. */
export const DOCKER_HUB: Wire = {
  title: 'Docker Hub',
  upstream: 'docker.io',
  host: 'registry-1.docker.io',
  otherHosts: [AUTH, CDN],
  profile: 'docker-hub',
  publicRepository: 'library/nginx',
  privateRepository: 'acme/secret',
  credentials: { username: 'acme', password: 'dckr_pat_canary' },
  referrers: true,
  missingWithCredentials: 403,
  limits: [
    {
      what: 'the pull quota',
      headers: {
        'content-type': 'application/json',
        'RateLimit-Limit': '100;w=21600',
        'RateLimit-Remaining': '0;w=21600',
        'Docker-RateLimit-Source': '192.0.2.1',
      },
      body: JSON.stringify({
        errors: [
          {
            code: 'TOOMANYREQUESTS',
            message:
              'You have reached your pull rate limit. You may increase the limit by authenticating and upgrading: https://www.docker.com/increase-rate-limit',
          },
        ],
      }),
    },
    {
      what: 'the abuse limit',
      headers: { 'content-type': 'text/plain', 'retry-after': '60' },
      body: 'Too Many Requests (HAP429).\n',
      retryAfter: 60,
    },
  ],
  answer: (request, registry) => {
    if (request.host === AUTH) return token(request, registry);
    if (request.host === CDN) return registry.storage(request, 'gcs');
    const worth = registry.bearer(request);
    if (worth !== 'good') return challenge(request, registry, worth);
    if (request.kind === 'blobs') {
      const { status } = request.plain();
      return status === 200 || status === 206
        ? redirectTo(registry.signed(CDN, request.reference, 'expires=1893456000&signature'))
        : request.plain();
    }
    return request.kind === 'manifests' ? withHeaders(request.plain(), REMAINING) : request.plain();
  },
};

function challenge(request: WireRequest, registry: EmulatedRegistry, worth: string): Reply {
  const { repository } = request;
  const scope = repository === undefined ? '' : `,scope="repository:${repository}:pull"`;
  const error =
    worth === 'absent' ? '' : `,error="${worth === 'invalid' ? 'invalid_token' : 'insufficient_scope'}"`;
  const realm = `Bearer realm="${registry.url(AUTH)}/token",service="registry.docker.io"${scope}${error}`;
  const detail = [{ Type: 'repository', Class: '', Name: repository, Action: 'pull' }];
  return ociError(401, 'UNAUTHORIZED', 'authentication required', {
    detail: repository === undefined ? null : detail,
    headers: {
      'www-authenticate': realm,
      'docker-distribution-api-version': 'registry/2.0',
      ...SOURCE,
    },
  });
}

/** Whoever asks gets a token; what it is good for shows at the registry. */
function token(request: WireRequest, registry: EmulatedRegistry): Reply {
  if (request.method !== 'GET' || request.path !== '/token') return textReply(404);
  const user = registry.user(request);
  if (user === 'wrong') return jsonReply(401, { details: 'incorrect username or password' });
  if (request.query.get('service') !== 'registry.docker.io') return jsonReply(400, { details: 'service' });
  const repository = scopeOf(request);
  const text = registry.issue(registry.mayPull(repository, user) ? repository : undefined);
  return jsonReply(200, {
    token: text,
    access_token: text,
    expires_in: 300,
    issued_at: new Date().toISOString(),
  });
}
