import { jsonReply, type Reply } from '../reply.ts';
import {
  type EmulatedRegistry,
  ociError,
  scopeOf,
  type Wire,
  type WireRequest,
} from './emulated-registry.ts';

const HOST = 'harbor.example.com';

/**
 * [harbor], distribution/distribution#4747: a refused `Authorization` of any kind is answered with Basic; no POST for
 * tokens; in a proxy project the HEAD of a blob is 404 until somebody pulled it.
 */
export const HARBOR: Wire = {
  title: 'Harbor',
  upstream: HOST,
  host: HOST,
  otherHosts: [],
  profile: 'harbor',
  chosen: true,
  publicRepository: 'proxy/library/nginx',
  privateRepository: 'team/app',
  credentials: { username: 'robot$team+cache', password: 'harbor-canary' },
  referrers: true,
  missingWithCredentials: 403,
  limits: [
    {
      what: 'a text of the reverse proxy',
      headers: { 'content-type': 'text/html', 'retry-after': '20' },
      body: '<html>429 Too Many Requests</html>',
      retryAfter: 20,
    },
  ],
  answer: (request, registry) => {
    if (request.path === '/service/token') return token(request, registry);
    const worth = registry.bearer(request);
    if (worth === 'good') {
      const isUnpulled = request.kind === 'blobs' && request.method === 'HEAD';
      return isUnpulled ? ociError(404, 'NOT_FOUND', `blob ${request.reference} not found`) : request.plain();
    }
    const { repository } = request;
    const scope = repository === undefined ? '' : `,scope="repository:${repository}:pull"`;
    const bearer = `Bearer realm="${registry.url()}/service/token",service="harbor-registry"${scope}`;
    const challenge = request.headers.authorization === undefined ? bearer : 'Basic realm="harbor"';
    const message = `unauthorized to access repository: ${repository ?? ''}, action: pull`;
    return ociError(401, 'UNAUTHORIZED', message, { headers: { 'www-authenticate': challenge } });
  },
};

function token(request: WireRequest, registry: EmulatedRegistry): Reply {
  if (request.method !== 'GET') return jsonReply(405, {});
  const user = registry.user(request);
  if (user === 'wrong') return ociError(401, 'UNAUTHORIZED', 'unauthorized');
  const repository = scopeOf(request);
  const text = registry.issue(registry.mayPull(repository, user) ? repository : undefined);
  return jsonReply(200, { token: text, expires_in: 1800, issued_at: new Date().toISOString() });
}
