import { bytesSource } from '../byte-source.ts';
import { jsonReply, type Reply } from '../reply.ts';
import {
  type EmulatedRegistry,
  ociError,
  redirectTo,
  scopeOf,
  type Wire,
  type WireRequest,
} from './emulated-registry.ts';

const CDN = 'cdn01.quay.io';

/** [quay]: one host for all, schema 1 for who names no type, redirects that claim to last for a year. */
export const QUAY: Wire = {
  title: 'Quay.io',
  upstream: 'quay.io',
  host: 'quay.io',
  otherHosts: [CDN],
  profile: 'quay',
  publicRepository: 'coreos/etcd',
  privateRepository: 'acme/secret',
  credentials: { username: 'acme+robot', password: 'QUAYCANARY' },
  referrers: true,
  missingWithCredentials: 403,
  limits: [
    {
      what: 'a page of the load balancer',
      headers: { 'content-type': 'text/html' },
      body: '<html><head><title>429 Too Many Requests</title></head></html>',
    },
  ],
  answer: (request, registry) => {
    if (request.host === CDN) return registry.storage(request);
    if (request.path === '/v2/auth') return token(request, registry);
    const worth = registry.bearer(request);
    if (worth !== 'good') return refusal(request, registry);
    if (request.kind === 'manifests' && request.reference === 'expired') {
      const message = `Tag ${request.reference} was deleted or has expired. To pull, revive via time machine`;
      return ociError(404, 'TAG_EXPIRED', message, { detail: {} });
    }
    const reply = request.plain();
    if (reply.status >= 300) return reply;
    if (request.kind === 'manifests' && !/vnd\.(?:docker|oci)/.test(request.headers.accept ?? '')) {
      return schema1(reply);
    }
    if (request.kind === 'blobs' && request.method === 'GET') {
      const location = registry.signed(CDN, request.reference, 'Expires=600&Signature');
      return redirectTo(location, 302, { 'cache-control': 'max-age=31536000' });
    }
    return reply;
  },
};

function refusal({ repository }: WireRequest, registry: EmulatedRegistry): Reply {
  const scope = repository === undefined ? '' : `,scope="repository:${repository}:pull"`;
  const realm = `Bearer realm="${registry.url()}/v2/auth",service="quay.io"${scope}`;
  return ociError(401, 'UNAUTHORIZED', 'access to the requested resource is not authorized', {
    detail: {},
    headers: { 'www-authenticate': realm },
  });
}

function token(request: WireRequest, registry: EmulatedRegistry): Reply {
  const user = registry.user(request);
  if (user === 'wrong') return jsonReply(401, { error: 'Could not find robot with specified username' });
  const scope = request.query.get('scope');
  if (scope === null && user === undefined) return jsonReply(401, { error: 'unauthorized' });
  const repository = scopeOf(request);
  if (repository === undefined) return jsonReply(400, { error: 'unable to decode repository and actions' });
  return jsonReply(200, {
    token: registry.issue(registry.mayPull(repository, user) ? repository : undefined),
  });
}

/** Other bytes under another digest. */
function schema1(reply: Reply): Reply {
  const content = bytesSource(Buffer.from(JSON.stringify({ schemaVersion: 1, fsLayers: [], history: [] })));
  const type = 'application/vnd.docker.distribution.manifest.v1+prettyjws';
  return { status: reply.status, headers: { 'content-type': type }, content };
}
