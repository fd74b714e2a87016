import { jsonReply, type Reply, textReply } from '../reply.ts';
import {
  type EmulatedRegistry,
  ociError,
  redirectTo,
  scopeOf,
  type Wire,
  type WireRequest,
} from './emulated-registry.ts';

const HOST = 'acme.jfrog.io';
const STORAGE = 'jfrog-prod-euc1-shared-frankfurt-main.s3.amazonaws.com';

/** [jfrog-docs], [issues]: `/v2/` is open, digests among the tags, a HEAD that says yes to any content as a blob. */
export const ARTIFACTORY: Wire = {
  title: 'JFrog Artifactory',
  upstream: HOST,
  host: HOST,
  otherHosts: [STORAGE],
  profile: 'artifactory',
  publicRepository: 'docker-public/app',
  privateRepository: 'docker-local/app',
  credentials: { username: 'ci', password: 'jfrog-canary' },
  referrers: true,
  missingWithCredentials: 403,
  limits: [
    {
      what: 'its own JSON',
      headers: { 'content-type': 'application/json', 'retry-after': '25' },
      body: JSON.stringify({ errors: [{ status: 429, message: 'Too many requests' }] }),
      retryAfter: 25,
    },
  ],
  answer: (request, registry) => {
    if (request.host === STORAGE) return registry.storage(request);
    if (request.path === '/v2/token') return token(request, registry);
    if (request.repository === undefined) return request.plain();
    if (registry.bearer(request) !== 'good') return challenge(request, registry);
    const { kind, reference } = request;
    const reply = request.plain();
    if (kind === 'tags')
      return jsonReply(200, { name: request.repository, tags: [`sha256:${'a'.repeat(64)}`, 'v1'] });
    if (kind === 'blobs' && request.method === 'HEAD') {
      const manifest = registry.registry.content.find(request.repository)?.manifests.get(reference as never);
      return manifest === undefined ? reply : textReply(200, '', { 'docker-content-digest': reference });
    }
    return kind === 'blobs' && reply.status < 300
      ? redirectTo(registry.signed(STORAGE, reference), 302)
      : reply;
  },
};

const NEXUS_HOST = 'nexus.example.com';

/** [issues]: `"tags": null` for none; Basic for who has no token realm. */
export const NEXUS: Wire = {
  title: 'Nexus',
  upstream: NEXUS_HOST,
  host: NEXUS_HOST,
  otherHosts: [],
  profile: 'generic',
  privateRepository: 'team/app',
  credentials: { username: 'ci', password: 'nexus-canary' },
  referrers: false,
  missingWithCredentials: 404,
  limits: [],
  answer: (request, registry) => {
    if (registry.user(request) !== 'known') {
      return ociError(401, 'UNAUTHORIZED', 'access to the requested resource is not authorized', {
        headers: { 'www-authenticate': 'BASIC realm="Sonatype Nexus Repository Manager"' },
      });
    }
    if (request.kind === 'referrers')
      return textReply(404, '<html>Not Found</html>', { 'content-type': 'text/html' });
    const reply = request.plain();
    const isBare = request.kind === 'tags' && request.repository?.endsWith('/untagged') === true;
    return isBare ? jsonReply(200, { name: request.repository, tags: null }) : reply;
  },
};

function challenge({ repository }: WireRequest, registry: EmulatedRegistry): Reply {
  const realm = `Bearer realm="${registry.url()}/v2/token",service="${HOST}",scope="repository:${repository}:pull"`;
  return ociError(401, 'UNAUTHORIZED', 'The client does not have permission for manifest', {
    headers: { 'www-authenticate': realm },
  });
}

function token(request: WireRequest, registry: EmulatedRegistry): Reply {
  const user = registry.user(request);
  if (user === 'wrong') return ociError(401, 'UNAUTHORIZED', 'Bad Credentials');
  const repository = scopeOf(request);
  const text = registry.issue(registry.mayPull(repository, user) ? repository : undefined);
  return jsonReply(200, { token: text, expires_in: 3600 });
}
