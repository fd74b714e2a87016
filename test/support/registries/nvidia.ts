import { jsonReply, type Reply } from '../reply.ts';
import {
  type EmulatedRegistry,
  ociError,
  redirectTo,
  scopeOf,
  type Wire,
  type WireRequest,
  withHeaders,
} from './emulated-registry.ts';

const AUTHN = 'authn.nvidia.com';
const LAYERS = 'layers.nvcr.io';

/**
 * NVIDIA/nvidia-container-toolkit#1945, sapcc/keppel#731, NERSC/shifter#238: no service in the challenge; an expired
 * token is sent to another realm, which gives nothing anonymously; manifests as text.
 */
export const NVIDIA: Wire = {
  title: 'nvcr.io',
  upstream: 'nvcr.io',
  host: 'nvcr.io',
  otherHosts: [AUTHN, LAYERS],
  profile: 'nvidia',
  publicRepository: 'nvidia/cuda',
  privateRepository: 'org/team/model',
  credentials: { username: '$oauthtoken', password: 'nvapi-canary' },
  referrers: true,
  missingWithCredentials: 403,
  limits: [
    {
      what: 'JSON without a time',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ errors: [{ code: 'TOOMANYREQUESTS', message: 'too many requests' }] }),
    },
  ],
  answer: (request, registry) => {
    if (request.host === AUTHN) return ociError(401, 'UNAUTHORIZED', 'Authentication required');
    if (request.host === LAYERS) return registry.storage(request);
    if (request.path === '/proxy_auth') return token(request, registry);
    const worth = registry.bearer(request);
    if (worth !== 'good') return challenge(request, registry, worth);
    const reply = request.plain();
    if (reply.status >= 300) return reply;
    if (request.kind === 'blobs') return redirectTo(registry.signed(LAYERS, request.reference), 302);
    const text = { 'content-type': 'text/plain; charset=utf-8' };
    return request.kind === 'manifests' ? withHeaders(reply, text) : reply;
  },
};

function challenge({ repository }: WireRequest, registry: EmulatedRegistry, worth: string): Reply {
  const scope = repository === undefined ? '' : `,scope="repository:${repository}:pull"`;
  const realm =
    worth === 'invalid'
      ? `Bearer realm="${registry.url(AUTHN)}/token",service="registry"${scope},error="invalid_token"`
      : `Bearer realm="${registry.url()}/proxy_auth"${scope}`;
  return ociError(401, 'UNAUTHORIZED', 'Authentication required', {
    headers: { 'www-authenticate': realm },
  });
}

function token(request: WireRequest, registry: EmulatedRegistry): Reply {
  const user = registry.user(request);
  if (user === 'wrong' || request.query.has('service')) return ociError(401, 'UNAUTHORIZED', 'Invalid token');
  const repository = scopeOf(request);
  if (!registry.mayPull(repository, user)) return ociError(403, 'DENIED', 'Access denied');
  return jsonReply(200, { token: registry.issue(repository), expires_in: 600 });
}
