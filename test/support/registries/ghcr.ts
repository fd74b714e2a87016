import { jsonReply, type Reply, textReply } from '../reply.ts';
import {
  type EmulatedRegistry,
  ociError,
  redirectTo,
  scopeOf,
  type Wire,
  type WireRequest,
} from './emulated-registry.ts';

const STORAGE = 'pkg-containers.githubusercontent.com';

/** [soci], [issues]: the token endpoint is who says no; no referrers API; a 429 that tells in its body only. */
export const GHCR: Wire = {
  title: 'GHCR',
  upstream: 'ghcr.io',
  host: 'ghcr.io',
  otherHosts: [STORAGE],
  profile: 'ghcr',
  publicRepository: 'org/app',
  privateRepository: 'org/secret',
  credentials: { username: 'octocat', password: 'ghp_canary' },
  referrers: false,
  missingWithCredentials: 403,
  limits: [
    {
      what: 'a time in the body only',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        errors: [{ code: 'TOOMANYREQUESTS', message: 'retry-after: 880.092µs, allowed: 44000/minute' }],
      }),
    },
  ],
  answer: (request, registry) => {
    if (request.host === STORAGE) return registry.storage(request, 'azure');
    if (request.path === '/token') return token(request, registry);
    if (registry.bearer(request) !== 'good') return challenge(request, registry);
    if (request.kind === 'referrers') return textReply(404, '404 page not found\n');
    const reply = request.plain();
    const isBlob = request.kind === 'blobs' && reply.status < 300;
    return isBlob ? redirectTo(registry.signed(STORAGE, request.reference, 'se=2030-01-01&sig')) : reply;
  },
};

function challenge({ repository = 'user/image' }: WireRequest, registry: EmulatedRegistry): Reply {
  const realm = `Bearer realm="${registry.url()}/token",service="ghcr.io",scope="repository:${repository}:pull"`;
  return ociError(401, 'UNAUTHORIZED', 'authentication required', {
    headers: { 'www-authenticate': realm },
  });
}

function token(request: WireRequest, registry: EmulatedRegistry): Reply {
  const repository = scopeOf(request);
  const user = registry.user(request);
  if (user === 'wrong') return ociError(403, 'DENIED', 'denied');
  if (!registry.mayPull(repository, user))
    return ociError(403, 'DENIED', 'requested access to the resource is denied');
  return jsonReply(200, { token: registry.issue(repository) });
}
