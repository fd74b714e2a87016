import { jsonReply, type Reply, textReply } from '../reply.ts';
import {
  type EmulatedRegistry,
  ociError,
  redirectTo,
  scopeOf,
  type Wire,
  type WireRequest,
  without,
} from './emulated-registry.ts';

const ACCOUNT = '123456789012';
const HOST = `${ACCOUNT}.dkr.ecr.eu-central-1.amazonaws.com`;
const BUCKET = 'prod-eu-central-1-starport-layer-bucket.s3.eu-central-1.amazonaws.com';
const THROTTLED = {
  what: 'throttling',
  headers: { 'content-type': 'application/json; charset=utf-8' },
  body: JSON.stringify({ errors: [{ code: 'TOOMANYREQUESTS', message: 'Rate exceeded' }] }),
};

/** [aws-docs], [issues]: Basic on every request; S3 behind it; manifests without a digest header. */
export const ECR: Wire = {
  title: 'ECR private',
  upstream: HOST,
  host: HOST,
  otherHosts: [BUCKET],
  profile: 'ecr',
  privateRepository: 'team/app',
  refusesBy403: true,
  credentials: { username: 'AWS', password: 'ecr-canary' },
  referrers: true,
  missingWithCredentials: 404,
  limits: [
    THROTTLED,
    {
      what: 'ThrottlingException',
      headers: { 'content-type': 'application/x-amz-json-1.1' },
      body: JSON.stringify({ __type: 'ThrottlingException', message: 'Rate exceeded' }),
    },
  ],
  answer: (request, registry) => {
    if (request.host === BUCKET) return registry.storage(request);
    const user = registry.user(request);
    if (user === 'wrong')
      return ociError(403, 'DENIED', 'Your authorization token has expired. Reauthenticate and try again.');
    if (user === undefined) {
      return textReply(401, 'Not Authorized\n', {
        'www-authenticate': `Basic realm="https://${HOST}/",service="ecr.amazonaws.com"`,
      });
    }
    return ecrAnswer(request, registry, BUCKET);
  },
};

const CLOUDFRONT = 'd2glxqk2uabbnd.cloudfront.net';

/** [aws-docs], [soci], aws/containers-roadmap#2835: a bad Bearer token, or Basic, is 400 without a challenge. */
export const ECR_PUBLIC: Wire = {
  title: 'ECR Public',
  upstream: 'public.ecr.aws',
  host: 'public.ecr.aws',
  otherHosts: [CLOUDFRONT],
  profile: 'ecr-public',
  publicRepository: 'nginx/nginx',
  credentials: { username: 'AWS', password: 'ecr-public-canary' },
  referrers: true,
  missingWithCredentials: 404,
  limits: [THROTTLED],
  answer: (request, registry) => {
    if (request.host === CLOUDFRONT) return registry.storage(request, 'gcs');
    if (request.path === '/token/') return publicToken(request, registry);
    if (request.headers.authorization === undefined) {
      const realm = `Bearer realm="${registry.url()}/token/",service="public.ecr.aws",scope="aws"`;
      return ociError(401, 'DENIED', 'Not Authorized', { headers: { 'www-authenticate': realm } });
    }
    const worth = registry.bearer(request);
    if (worth === 'absent' || worth === 'invalid')
      return ociError(400, 'DENIED', 'Your Authorization Token is invalid.');
    if (request.kind === 'blobs' && request.method === 'HEAD') return ociError(405, 'UNSUPPORTED', 'HEAD');
    return ecrAnswer(request, registry, CLOUDFRONT);
  },
};

function publicToken(request: WireRequest, registry: EmulatedRegistry): Reply {
  if (registry.user(request) === 'wrong')
    return ociError(400, 'DENIED', 'Your Authorization Token is invalid.');
  return jsonReply(200, { token: registry.issue(scopeOf(request)) });
}

function ecrAnswer(request: WireRequest, registry: EmulatedRegistry, storage: string): Reply {
  const { repository, kind } = request;
  if (repository !== undefined && !registry.registry.content.find(repository)) {
    const message = `The repository with name '${repository}' does not exist in the registry with id '${ACCOUNT}'`;
    return ociError(404, 'NAME_UNKNOWN', message);
  }
  if (kind === 'tags' && Number(request.query.get('n')) > 1000)
    return ociError(400, 'PAGINATION_NUMBER_INVALID', 'maxResults must be less than or equal to 1000');
  const reply = request.plain();
  if (reply.status >= 300) return reply;
  if (kind === 'blobs') return redirectTo(registry.signed(storage, request.reference));
  return kind === 'manifests' ? without(reply, 'docker-content-digest', 'etag') : reply;
}
