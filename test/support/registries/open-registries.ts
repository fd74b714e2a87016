import { textReply } from '../reply.ts';
import { ociError, redirectTo, type Wire } from './emulated-registry.ts';

const MCR_DATA = 'westeurope.data.mcr.microsoft.com';

/** [issues]: nobody signs in. */
export const MCR: Wire = {
  title: 'MCR',
  upstream: 'mcr.microsoft.com',
  host: 'mcr.microsoft.com',
  otherHosts: [MCR_DATA],
  profile: 'mcr',
  publicRepository: 'dotnet/runtime',
  referrers: true,
  missingWithCredentials: 404,
  limits: [],
  answer: (request, registry) => {
    if (request.host === MCR_DATA) return registry.storage(request, 'azure');
    const reply = request.plain();
    const isBlob = request.kind === 'blobs' && reply.status < 300;
    return isBlob ? redirectTo(registry.signed(MCR_DATA, request.reference, 'se=2030&sig')) : reply;
  },
};

const BACKEND = 'europe-west3-docker.pkg.dev';
const BUCKET = 'prod-registry-k8s-io-eu-central-1.s3.dualstack.eu-central-1.amazonaws.com';

/** [archeio]: redirects all, and loses the query; GET and HEAD only; no catalog and no referrers. */
export const KUBERNETES: Wire = {
  title: 'registry.k8s.io',
  upstream: 'registry.k8s.io',
  host: 'registry.k8s.io',
  otherHosts: [BACKEND, BUCKET],
  profile: 'kubernetes',
  publicRepository: 'pause',
  sharesBlobs: true,
  referrers: false,
  missingWithCredentials: 404,
  limits: [],
  answer: (request, registry) => {
    if (request.host === BUCKET)
      return registry.stored(request, request.path.slice(request.path.lastIndexOf('/') + 1));
    if (request.host === BACKEND) {
      if (request.headers.authorization !== undefined) return ociError(401, 'UNAUTHORIZED', 'not yours');
      return request.plain(request.path.replace('/k8s-artifacts-prod/images', ''));
    }
    if (request.method !== 'GET' && request.method !== 'HEAD') return textReply(405);
    if (request.repository === undefined) return textReply(request.path === '/v2/' ? 200 : 404);
    if (request.kind === 'referrers') return textReply(404, '404 page not found\n');
    const path = request.path.slice('/v2'.length);
    if (request.kind === 'blobs')
      return redirectTo(`${registry.url(BUCKET)}/containers/images/${request.reference}`);
    return redirectTo(`${registry.url(BACKEND)}/v2/k8s-artifacts-prod/images${path}`);
  },
};
