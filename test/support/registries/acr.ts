import { jsonReply, type Reply } from '../reply.ts';
import {
  type EmulatedRegistry,
  ociError,
  redirectTo,
  scopeOf,
  type Wire,
  type WireRequest,
} from './emulated-registry.ts';

const HOST = 'team.azurecr.io';
const STORAGE = 'weumanaged12.blob.core.windows.net';

/** [acr]: only `access_token`; the service is the host; Azure Blob behind it; anonymous pull where it is allowed. */
export const ACR: Wire = {
  title: 'ACR',
  upstream: HOST,
  host: HOST,
  otherHosts: [STORAGE],
  profile: 'acr',
  publicRepository: 'public/app',
  privateRepository: 'app',
  credentials: { username: '00000000-0000-0000-0000-000000000000', password: 'acr-refresh-canary' },
  referrers: true,
  missingWithCredentials: 404,
  limits: [
    {
      what: 'a time in Retry-After',
      headers: { 'content-type': 'application/json; charset=utf-8', 'retry-after': '30' },
      body: JSON.stringify({ errors: [{ code: 'TOOMANYREQUESTS', message: 'too many requests' }] }),
      retryAfter: 30,
    },
  ],
  answer: (request, registry) => {
    if (request.host === STORAGE) return registry.storage(request, 'azure');
    if (request.path === '/oauth2/token') return token(request, registry);
    const worth = registry.bearer(request);
    if (worth !== 'good') return challenge(request, registry, worth);
    const reply = request.plain();
    const isBlob = request.kind === 'blobs' && reply.status < 300;
    return isBlob ? redirectTo(registry.signed(STORAGE, request.reference, 'se=2030-01-01&sig')) : reply;
  },
};

function challenge({ repository }: WireRequest, registry: EmulatedRegistry, worth: string): Reply {
  const scope = repository === undefined ? '' : `,scope="repository:${repository}:pull"`;
  const error = worth === 'invalid' ? ',error="invalid_token"' : '';
  const realm = `Bearer realm="${registry.url()}/oauth2/token",service="${HOST}"${scope}${error}`;
  return unauthorized({ 'www-authenticate': realm });
}

function token(request: WireRequest, registry: EmulatedRegistry): Reply {
  const user = registry.user(request);
  const repository = scopeOf(request);
  const mayAsk = user === 'known' || (user === undefined && registry.isPublic(repository));
  if (!mayAsk || request.query.get('service') !== HOST) return unauthorized({});
  return jsonReply(200, { access_token: registry.issue(repository) });
}

function unauthorized(headers: Reply['headers']): Reply {
  const message = 'authentication required, visit https://aka.ms/acr/authorization for more information.';
  return ociError(401, 'UNAUTHORIZED', message, { headers });
}
