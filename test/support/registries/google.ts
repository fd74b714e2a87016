import { jsonReply, type Reply, textReply } from '../reply.ts';
import {
  type EmulatedRegistry,
  ociError,
  redirectTo,
  scopeOf,
  type Wire,
  type WireRequest,
} from './emulated-registry.ts';

const STORAGE = 'storage.googleapis.com';
const KEY = '{"type":"service_account","private_key":"canary"}';
const EXHAUSTED = {
  what: 'a quota',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify({
    errors: [{ code: 'TOOMANYREQUESTS', message: 'Quota exceeded for quota metric Requests per project' }],
  }),
};

/** [gcp-docs]: `/v2/` names the realm alone, repositories service and scope; blobs are at GCS. */
export const ARTIFACT_REGISTRY: Wire = {
  title: 'Artifact Registry',
  upstream: 'europe-west3-docker.pkg.dev',
  host: 'europe-west3-docker.pkg.dev',
  otherHosts: [STORAGE],
  profile: 'google',
  publicRepository: 'project/public/app',
  privateRepository: 'project/team/app',
  credentials: { username: '_json_key', password: KEY },
  referrers: true,
  missingWithCredentials: 403,
  limits: [EXHAUSTED],
  answer: (request, registry) => answer(request, registry, { challengesRepositories: true }),
};

/** [c/image]: 401 without a challenge for what is not `/v2/`. */
export const GCR: Wire = {
  ...ARTIFACT_REGISTRY,
  title: 'gcr.io',
  upstream: 'gcr.io',
  host: 'gcr.io',
  publicRepository: 'distroless/static',
  privateRepository: 'project/app',
  credentials: { username: 'oauth2accesstoken', password: 'ya29.canary' },
  answer: (request, registry) => answer(request, registry, { challengesRepositories: false }),
};

/** [gcp-docs]: a copy of what is often pulled from Docker Hub, under the same names. */
export const MIRROR_GCR: Wire = {
  title: 'mirror.gcr.io',
  upstream: 'mirror.gcr.io',
  host: 'mirror.gcr.io',
  otherHosts: [STORAGE],
  profile: 'mirror-gcr-io',
  publicRepository: 'library/nginx',
  referrers: true,
  missingWithCredentials: 404,
  limits: [EXHAUSTED],
  answer: (request, registry) => {
    const { repository } = request;
    if (repository !== undefined && !registry.isPublic(repository))
      return ociError(404, 'MANIFEST_UNKNOWN', `Failed to fetch "${request.reference}"`);
    return answer(request, registry, { challengesRepositories: true });
  },
};

function answer(
  request: WireRequest,
  registry: EmulatedRegistry,
  { challengesRepositories }: { challengesRepositories: boolean },
): Reply {
  const { host } = registry.wire;
  if (request.host === STORAGE) return registry.storage(request, 'gcs');
  if (request.path === '/v2/token') return token(request, registry);
  const worth = registry.bearer(request);
  if (worth === 'insufficient')
    return ociError(403, 'DENIED', 'Permission "artifactregistry.repositories.downloadArtifacts" denied');
  if (worth !== 'good') {
    const { repository } = request;
    if (repository !== undefined && !challengesRepositories) return textReply(401, '');
    const rest = repository === undefined ? '' : `,service="${host}",scope="repository:${repository}:pull"`;
    return ociError(401, 'UNAUTHORIZED', 'authentication failed', {
      headers: { 'www-authenticate': `Bearer realm="${registry.url()}/v2/token"${rest}` },
    });
  }
  const reply = request.plain();
  const isBlob = request.kind === 'blobs' && reply.status < 300;
  return isBlob
    ? redirectTo(registry.signed(STORAGE, request.reference, 'X-Goog-Expires=1200&X-Goog-Signature'), 302)
    : reply;
}

function token(request: WireRequest, registry: EmulatedRegistry): Reply {
  const user = registry.user(request);
  if (user === 'wrong') return ociError(401, 'UNAUTHORIZED', 'Not Authorized.');
  const repository = scopeOf(request);
  const text = registry.issue(registry.mayPull(repository, user) ? repository : undefined);
  return jsonReply(200, { token: text, expires_in: 3600, issued_at: new Date().toISOString() });
}
