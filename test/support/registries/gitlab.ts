import { jsonReply, type Reply } from '../reply.ts';
import {
  type EmulatedRegistry,
  ociError,
  redirectTo,
  scopeOf,
  type Wire,
  type WireRequest,
} from './emulated-registry.ts';

/** [gitlab-docs], [issues]: the realm is on GitLab's own host, which says 403 to who may not. */
function gitlab(facts: {
  readonly title: string;
  readonly registry: string;
  readonly gitlab: string;
  readonly storage: string;
}): Wire {
  return {
    title: facts.title,
    upstream: facts.registry,
    host: facts.registry,
    otherHosts: [facts.gitlab, facts.storage],
    profile: 'gitlab',
    chosen: facts.registry !== 'registry.gitlab.com',
    publicRepository: 'group/project/app',
    privateRepository: 'group/secret/app',
    credentials: { username: 'gitlab+deploy-token-1', password: 'gldt-canary' },
    referrers: true,
    missingWithCredentials: 403,
    limits: [
      {
        what: 'a text with Retry-After',
        headers: { 'content-type': 'text/plain', 'retry-after': '45' },
        body: 'Retry later\n',
        retryAfter: 45,
      },
    ],
    answer: (request, registry) => {
      if (request.host === facts.gitlab) return token(request, registry);
      if (request.host === facts.storage) return registry.storage(request, 'gcs');
      const worth = registry.bearer(request);
      if (worth !== 'good') return challenge(request, registry, { worth, gitlab: facts.gitlab });
      const reply = request.plain();
      const isBlob = request.kind === 'blobs' && reply.status < 300;
      return isBlob ? redirectTo(registry.signed(facts.storage, request.reference)) : reply;
    },
  };
}

export const GITLAB = gitlab({
  title: 'GitLab.com',
  registry: 'registry.gitlab.com',
  gitlab: 'gitlab.com',
  storage: 'cdn.registry.gitlab-static.net',
});

export const GITLAB_SELF_MANAGED = gitlab({
  title: 'GitLab, self-managed',
  registry: 'registry.example.com',
  gitlab: 'gitlab.example.com',
  storage: 'minio.example.com',
});

function challenge(
  { repository }: WireRequest,
  registry: EmulatedRegistry,
  { worth, gitlab: host }: { worth: string; gitlab: string },
): Reply {
  const scope = repository === undefined ? '' : `,scope="repository:${repository}:pull"`;
  const error = worth === 'absent' ? '' : ',error="invalid_token"';
  const realm = `Bearer realm="${registry.url(host)}/jwt/auth",service="container_registry"${scope}${error}`;
  return ociError(401, 'UNAUTHORIZED', 'authentication required', {
    detail: [{ Type: 'repository', Class: '', Name: repository, Action: 'pull' }],
    headers: { 'www-authenticate': realm, 'docker-distribution-api-version': 'registry/2.0' },
  });
}

function token(request: WireRequest, registry: EmulatedRegistry): Reply {
  if (request.path !== '/jwt/auth') return jsonReply(404, {});
  const user = registry.user(request);
  if (user === 'wrong') return ociError(401, 'UNAUTHORIZED', 'HTTP Basic: Access denied.');
  const repository = scopeOf(request);
  if (!registry.mayPull(repository, user)) return ociError(403, 'DENIED', 'access forbidden');
  return jsonReply(200, { token: registry.issue(repository) });
}
