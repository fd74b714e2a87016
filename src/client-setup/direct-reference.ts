import type { CacheAddress } from './cache-address.ts';
import { type ClientRoute, locationOf } from './client-routes.ts';
import { authorityFile, type Client, type ClientSetup, type SetupRequest } from './client-setup.ts';
import { sampleImage } from './sample-image.ts';

/** An image of the upstream as it is named at the cache; `undefined` when no name of the cache means the upstream. */
export function directReference(cache: CacheAddress, route: ClientRoute): string | undefined {
  const location = locationOf(cache, route);
  return location && `${location}/${sampleImage(route.name) ?? 'repository:tag'}`;
}

export function unnamedLimits({ cache, routes }: SetupRequest): readonly string[] {
  return routes
    .filter((route) => locationOf(cache, route) === undefined)
    .map(
      ({ name }) =>
        `${name} has no prefix and no host of its own in the configuration, so no image reference means it; give the upstream \`prefixes\` or \`hosts\`.`,
    );
}

interface DirectTool {
  readonly id: string;
  readonly title: string;
  /** The command, with the reference in place. */
  readonly command: (reference: string) => string;
  readonly plain: string;
  /** How it is told of an authority. */
  readonly authority: (file: string) => string;
}

const AUTHORITY_FILE = 'entrepot-ca.crt';

const TOOLS: readonly DirectTool[] = [
  {
    id: 'helm',
    title: 'Helm charts from OCI registries',
    command: (reference) => `helm pull oci://${withoutTag(reference)} --version <version>`,
    plain: '--plain-http',
    authority: (file) => `--ca-file ${file}`,
  },
  {
    id: 'crane',
    title: 'crane',
    command: (reference) => `crane digest ${reference}`,
    plain: '--insecure',
    authority: (file) => `(with SSL_CERT_FILE=${file} in its environment)`,
  },
  {
    id: 'oras',
    title: 'ORAS',
    command: (reference) => `oras manifest fetch ${reference}`,
    plain: '--plain-http',
    authority: (file) => `--ca-file ${file}`,
  },
  {
    id: 'cosign',
    title: 'cosign',
    command: (reference) => `cosign verify --key cosign.pub ${reference}`,
    plain: '--allow-http-registry',
    authority: (file) => `--registry-cacert ${file}`,
  },
];

/** Clients without any setting for mirrors: images are named at the cache. */
export const directClients: readonly Client[] = TOOLS.map((tool) => ({
  id: tool.id,
  aliases: [],
  title: tool.title,
  setup: (request) => setupOf(tool, request),
}));

function setupOf(tool: DirectTool, request: SetupRequest): ClientSetup {
  const { cache, routes } = request;
  const flag = cache.isPlain
    ? ` ${tool.plain}`
    : cache.ca === undefined
      ? ''
      : ` ${tool.authority(AUTHORITY_FILE)}`;
  const commands = routes.flatMap((route) => {
    const reference = directReference(cache, route);
    return reference === undefined ? [] : [`${tool.command(reference)}${flag}`];
  });
  return {
    files: authorityFile(AUTHORITY_FILE, cache),
    steps: ['Name what you pull at the cache, the upstream first:', ...commands],
    limits: [
      `${tool.id} has no setting for mirrors: only what is named at the cache comes from it.`,
      ...unnamedLimits(request),
    ],
  };
}

function withoutTag(reference: string): string {
  return reference.replace(/:[^:/]+$/, '');
}
