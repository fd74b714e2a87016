import type { TomlTable } from 'smol-toml';
import { locationOf, mirrorLimit } from './client-routes.ts';
import {
  authorityFiles,
  type Client,
  type ClientSetup,
  setupFile,
  type SetupRequest,
} from './client-setup.ts';
import { sampleImage } from './sample-image.ts';
import { tomlText } from './toml-text.ts';

const FILE = '/etc/containers/registries.conf.d/50-entrepot.conf';

/** Where Docker Hub is; its name is what clients know it by. */
const HUB = 'https://registry-1.docker.io';

const TAGS_LIMIT = [
  'Tag lists (`skopeo list-tags`, `inspect` without --no-tags, `sync`) are asked of the registry itself, never of a mirror; name the repository at the cache for them.',
];

/** The clients built on containers/image: all read the same registries.conf. */
export const registriesConfClients: readonly Client[] = [
  client('podman', 'Podman', (image) => `podman pull ${image}`),
  client('skopeo', 'skopeo', (image) => `skopeo inspect --no-tags docker://${image}`),
  client('buildah', 'Buildah', (image) => `buildah pull ${image}`),
  client(
    'crio',
    'CRI-O',
    (image) => `sudo crictl pull ${image}`,
    'sudo systemctl reload crio    # on every node; containers go on running',
  ),
];

function client(
  id: string,
  title: string,
  command: (image: string) => string,
  reload = 'Nothing is restarted: the file is read by every command.',
): Client {
  return {
    id,
    aliases: id === 'crio' ? ['cri-o'] : [],
    title: `${title} (registries.conf)`,
    setup: (request) => {
      const image = request.routes.find(({ isRegistryHost }) => isRegistryHost);
      const example =
        image === undefined ? [] : [command(`${image.name}/${sampleImage(image.name) ?? 'repository:tag'}`)];
      const { files, limits } = setupRegistries(request);
      return {
        files,
        steps: [reload, ...example],
        limits: [...limits, ...(id === 'skopeo' ? TAGS_LIMIT : [])],
      };
    },
  };
}

function setupRegistries({ cache, routes }: SetupRequest): Pick<ClientSetup, 'files' | 'limits'> {
  const limits = routes.flatMap((route) => mirrorLimit(cache, route, locationOf(cache, route)) ?? []);
  const tables = routes.flatMap((route): TomlTable[] => {
    const location = locationOf(cache, route);
    if (location === undefined || !route.isRegistryHost) return [];
    const mirror = { location, ...(cache.isPlain && { insecure: true }) };
    return [
      {
        registry: [
          {
            prefix: route.name,
            // What is asked when the cache does not answer.
            location:
              route.isDockerHub && route.origin === HUB
                ? route.name
                : route.origin.replace(/^https?:\/\//, ''),
            ...(route.origin.startsWith('http:') && { insecure: true }),
            mirror: [mirror],
          },
        ],
      },
    ];
  });
  const text = tomlText(
    'Images of these registries come from entrepot, and from the registry itself where it does not answer.\nCredentials for the cache, where something in front of it asks for them: podman login --authfile … ' +
      cache.host,
    { ...(tables.length > 0 && { registry: tables.flatMap(({ registry }) => registry as TomlTable[]) }) },
  );
  return {
    files: [
      ...(tables.length === 0 ? [] : [setupFile(FILE, text)]),
      ...authorityFiles('/etc/containers/certs.d', { cache, routes }),
    ],
    limits: [
      'A blob that breaks off fails the pull: these clients do not resume, nor go to the registry for it.',
      ...limits,
    ],
  };
}
