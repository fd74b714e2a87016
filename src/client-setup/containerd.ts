import {
  type Client,
  type ClientSetup,
  setupFile,
  type SetupFile,
  type SetupRequest,
} from './client-setup.ts';
import { hostsTomlFiles } from './hosts-toml.ts';
import { sampleImage } from './sample-image.ts';
import { tomlText } from './toml-text.ts';
import { yamlText } from './yaml-text.ts';

const CERTS = { path: '/etc/containerd/certs.d', seenAs: '/etc/containerd/certs.d' };
const MINIKUBE_CERTS = { path: '~/.minikube/files/etc/containerd/certs.d', seenAs: CERTS.path };
const MICROK8S_CERTS = {
  path: '/var/snap/microk8s/current/args/certs.d',
  seenAs: '/var/snap/microk8s/current/args/certs.d',
};
/** Kind mounts the directory into each node. */
const KIND_CERTS = { path: 'entrepot-certs.d', seenAs: CERTS.path };

const NO_RESTART = 'Nothing is restarted for hosts.toml: containerd reads it anew for every pull.';

/** containerd and what is built on it: one hosts.toml per registry. */
export const containerdClients: readonly Client[] = [
  {
    id: 'containerd',
    aliases: ['containerd-2'],
    title: 'containerd 2.x (Kubernetes, ctr)',
    setup: (request) => setupContainerd(request, criConfig(3, 'io.containerd.cri.v1.images')),
  },
  {
    id: 'containerd-1',
    aliases: [],
    title: 'containerd 1.5 to 1.7',
    setup: (request) => setupContainerd(request, criConfig(2, 'io.containerd.grpc.v1.cri')),
  },
  { id: 'nerdctl', aliases: [], title: 'nerdctl', setup: setupNerdctl },
  { id: 'kind', aliases: [], title: 'kind', setup: setupKind },
  { id: 'minikube', aliases: [], title: 'minikube with containerd', setup: setupMinikube },
  { id: 'microk8s', aliases: [], title: 'MicroK8s', setup: setupMicrok8s },
];

function setupContainerd(request: SetupRequest, cri: SetupFile): ClientSetup {
  const { files, limits } = hostsTomlFiles(request, CERTS);
  return {
    files: [cri, ...files],
    steps: [
      'sudo systemctl restart containerd    # once, and only if config.toml was changed; containers go on running',
      NO_RESTART,
      ...pull(request, `sudo ctr images pull --hosts-dir ${CERTS.path}`),
    ],
    limits,
  };
}

function criConfig(version: 2 | 3, plugin: string): SetupFile {
  const text = tomlText('What pulls images for Kubernetes looks for hosts.toml files here.', {
    version,
    plugins: { [plugin]: { registry: { config_path: CERTS.path } } },
  });
  return setupFile('/etc/containerd/config.toml', text, { merge: true });
}

function setupNerdctl(request: SetupRequest): ClientSetup {
  const { files, limits } = hostsTomlFiles(request, CERTS);
  return {
    files,
    steps: [NO_RESTART, ...pull(request, 'sudo nerdctl pull')],
    limits: [
      `Rootless nerdctl reads ~/.config/containerd/certs.d in place of ${CERTS.path}${request.cache.ca === undefined ? '' : '; the path of the CA file changes with it'}.`,
      ...limits,
    ],
  };
}

function setupKind(request: SetupRequest): ClientSetup {
  const { files, limits } = hostsTomlFiles(request, KIND_CERTS);
  const config = {
    kind: 'Cluster',
    apiVersion: 'kind.x-k8s.io/v1alpha4',
    containerdConfigPatches: [
      `[plugins."io.containerd.grpc.v1.cri".registry]\n  config_path = "${CERTS.path}"\n`,
    ],
    nodes: [
      {
        role: 'control-plane',
        extraMounts: [{ hostPath: KIND_CERTS.path, containerPath: CERTS.path, readOnly: true }],
      },
    ],
  };
  const comment =
    'Every node needs the extraMounts. The patch is for node images before kind 0.27; later ones have it already.';
  return {
    files: [setupFile('kind-entrepot.yaml', yamlText(comment, config)), ...files],
    steps: [
      'kind create cluster --config kind-entrepot.yaml    # in the directory that holds entrepot-certs.d',
      'For a cluster that runs already, and nothing is restarted:',
      `for node in $(kind get nodes); do docker exec "$node" mkdir -p ${CERTS.path}; docker cp ${KIND_CERTS.path}/. "$node:${CERTS.path}/"; done`,
    ],
    limits: [
      'The nodes are containers: the cache must be reachable from them (a cache in a container: `docker network connect kind <it>`).',
      ...limits,
    ],
  };
}

function setupMinikube(request: SetupRequest): ClientSetup {
  const { cache } = request;
  const { files, limits } = hostsTomlFiles(request, MINIKUBE_CERTS);
  const insecure = cache.isPlain ? ` --insecure-registry=${cache.host}` : '';
  return {
    files,
    steps: [
      'minikube start --container-runtime=containerd    # copies ~/.minikube/files into the node at every start',
    ],
    limits: [
      `With the docker runtime in minikube only Docker Hub has mirrors: minikube start --registry-mirror=${cache.url}${insecure}`,
      ...limits,
    ],
  };
}

function setupMicrok8s(request: SetupRequest): ClientSetup {
  const { files, limits } = hostsTomlFiles(request, MICROK8S_CERTS);
  return {
    files,
    steps: [
      'MicroK8s brings a docker.io/hosts.toml of its own: put the one above in its place, on every node.',
      NO_RESTART,
      ...pull(request, `sudo microk8s ctr images pull --hosts-dir ${MICROK8S_CERTS.path}`),
    ],
    limits,
  };
}

/** A pull under the registry's own name. */
function pull({ routes }: SetupRequest, command: string): readonly string[] {
  const route = routes.find(({ isRegistryHost }) => isRegistryHost);
  return route === undefined
    ? []
    : [`${command} ${route.name}/${sampleImage(route.name) ?? 'repository:tag'}`];
}
