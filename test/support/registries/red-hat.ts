import { gzipSync } from 'node:zlib';
import { bytesSource, sourceBytes } from '../byte-source.ts';
import { jsonReply, type Reply } from '../reply.ts';
import {
  type EmulatedRegistry,
  ociError,
  redirectTo,
  scopeOf,
  type Wire,
  type WireRequest,
  without,
} from './emulated-registry.ts';

const CDN = 'cdn01.quay.io';
const REALM_PATH = '/auth/realms/rhcc/protocol/redhat-docker-v2/auth';

/** [c/image], [issues]: small answers are compressed for who takes that, the digest header may be missing. */
export const RED_HAT: Wire = {
  title: 'registry.access.redhat.com',
  upstream: 'registry.access.redhat.com',
  host: 'registry.access.redhat.com',
  otherHosts: [CDN],
  profile: 'red-hat',
  publicRepository: 'ubi9/ubi',
  referrers: true,
  missingWithCredentials: 404,
  limits: [],
  answer: (request, registry) => {
    if (request.host === CDN) return compressed(request, registry.storage(request));
    return content(request, registry);
  },
};

/** aboutbits/postgresql-operator#9: the token endpoint refuses everybody without credentials. */
export const RED_HAT_PRIVATE: Wire = {
  ...RED_HAT,
  title: 'registry.redhat.io',
  upstream: 'registry.redhat.io',
  host: 'registry.redhat.io',
  publicRepository: undefined,
  privateRepository: 'ubi9/openjdk-25',
  credentials: { username: '12345678|cache', password: 'rh-canary' },
  missingWithCredentials: 404,
  answer: (request, registry) => {
    if (request.host === CDN) return compressed(request, registry.storage(request));
    if (request.path === REALM_PATH) return token(request, registry);
    if (registry.bearer(request) === 'good') return content(request, registry);
    const { repository } = request;
    const scope = repository === undefined ? '' : `,scope="repository:${repository}:pull"`;
    return ociError(401, 'UNAUTHORIZED', 'Access to the requested resource is not authorized', {
      headers: {
        'www-authenticate': `Bearer realm="${registry.url()}${REALM_PATH}",service="docker-registry"${scope}`,
      },
    });
  },
};

function token(request: WireRequest, registry: EmulatedRegistry): Reply {
  const isOurs = request.query.get('service') === 'docker-registry' && registry.user(request) === 'known';
  if (!isOurs) return jsonReply(401, { error: 'Please login to the Red Hat Registry' });
  const text = registry.issue(scopeOf(request));
  return jsonReply(200, { token: text, access_token: text, expires_in: 300 });
}

function content(request: WireRequest, registry: EmulatedRegistry): Reply {
  const reply = request.plain();
  if (reply.status >= 300) return reply;
  if (request.kind === 'blobs') return redirectTo(registry.signed(CDN, request.reference), 302);
  return compressed(request, without(reply, 'docker-content-digest', 'etag'));
}

function compressed(request: WireRequest, reply: Reply): Reply {
  const isTaken = /gzip/.test(request.headers['accept-encoding'] ?? '');
  if (!isTaken || reply.status !== 200 || request.method === 'HEAD') return reply;
  const bytes = gzipSync(sourceBytes(reply.content));
  return { ...reply, headers: { ...reply.headers, 'content-encoding': 'gzip' }, content: bytesSource(bytes) };
}
