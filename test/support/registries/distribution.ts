import { jsonReply, type Reply, textReply } from '../reply.ts';
import { ociError, scopeOf, type Wire, type WireRequest } from './emulated-registry.ts';

const HOST = 'registry.corp.example';
const AUTH = 'login.partner.example.net';

function plain(request: WireRequest): Reply {
  return request.kind === 'referrers' ? textReply(404, '404 page not found\n') : request.plain();
}

/** [dist]: the reference server with htpasswd; blobs by itself, no referrers API. */
export const DISTRIBUTION_BASIC: Wire = {
  title: 'registry:2 with htpasswd',
  upstream: HOST,
  host: HOST,
  otherHosts: [],
  profile: 'distribution',
  chosen: true,
  privateRepository: 'team/app',
  credentials: { username: 'cache', password: 'htpasswd-canary' },
  referrers: false,
  missingWithCredentials: 404,
  limits: [],
  answer: (request, registry) => {
    if (registry.user(request) === 'known') return plain(request);
    return ociError(401, 'UNAUTHORIZED', 'authentication required', {
      detail: [],
      headers: { 'www-authenticate': 'Basic realm="Registry Realm"' },
    });
  },
};

/** [dist]: tokens from a service on another domain, which the operator trusts by name. */
export const DISTRIBUTION_BEARER: Wire = {
  ...DISTRIBUTION_BASIC,
  title: 'registry:2 with a token service elsewhere',
  otherHosts: [AUTH],
  publicRepository: 'open/app',
  missingWithCredentials: 403,
  answer: (request, registry) => {
    if (request.host === AUTH) {
      const user = registry.user(request);
      if (user === 'wrong') return ociError(401, 'UNAUTHORIZED', 'Auth failed.');
      const repository = scopeOf(request);
      const text = registry.issue(registry.mayPull(repository, user) ? repository : undefined);
      return jsonReply(200, { token: text, access_token: text, expires_in: 900 });
    }
    const worth = registry.bearer(request);
    if (worth === 'good') return plain(request);
    const scope = request.repository === undefined ? '' : `,scope="repository:${request.repository}:pull"`;
    const error =
      worth === 'absent' ? '' : `,error="${worth === 'invalid' ? 'invalid_token' : 'insufficient_scope'}"`;
    const realm = `Bearer realm="${registry.url(AUTH)}/auth",service="Docker registry"${scope}${error}`;
    return ociError(401, 'UNAUTHORIZED', 'authentication required', {
      detail: null,
      headers: { 'www-authenticate': realm },
    });
  },
};

/** [dist]: open to everybody. */
export const DISTRIBUTION_OPEN: Wire = {
  title: 'registry:3 without access control',
  upstream: HOST,
  host: HOST,
  otherHosts: [],
  profile: 'distribution',
  chosen: true,
  publicRepository: 'team/app',
  referrers: false,
  missingWithCredentials: 404,
  limits: [],
  answer: plain,
};
