import { cacheHosts, locationOf, mirrorLimit } from './client-routes.ts';
import { type Client, type ClientSetup, setupFile, type SetupRequest } from './client-setup.ts';
import { yamlText } from './yaml-text.ts';

const AUTHORITY_MAP = 'entrepot-ca';

export const openshift: Client = {
  id: 'openshift',
  aliases: ['idms', 'itms'],
  title: 'OpenShift (ImageDigestMirrorSet, ImageTagMirrorSet)',
  setup: setupOpenshift,
};

function setupOpenshift({ cache, routes }: SetupRequest): ClientSetup {
  const limits = routes.flatMap((route) => mirrorLimit(cache, route, locationOf(cache, route)) ?? []);
  const mirrors = routes.flatMap((route) => {
    const location = locationOf(cache, route);
    if (location === undefined || !route.isRegistryHost) return [];
    return [{ source: route.name, mirrors: [location], mirrorSourcePolicy: 'AllowContactingSource' }];
  });
  const set = (kind: string, field: string): object => ({
    apiVersion: 'config.openshift.io/v1',
    kind,
    metadata: { name: 'entrepot' },
    spec: { [field]: mirrors },
  });
  const sets = [
    set('ImageDigestMirrorSet', 'imageDigestMirrors'),
    set('ImageTagMirrorSet', 'imageTagMirrors'),
  ];
  const comment =
    'By digest and by tag, images of these registries come from entrepot, and from the registry itself where it does not\nanswer (NeverContactSource forbids that).';
  return {
    files: [
      ...(mirrors.length === 0 ? [] : [setupFile('openshift-entrepot.yaml', yamlText(comment, ...sets))]),
      ...authorityMap({ cache, routes }),
    ],
    steps: [
      ...trustSteps({ cache, routes }),
      'oc apply -f openshift-entrepot.yaml',
      'oc get machineconfigpools --watch    # until every pool is updated',
    ],
    limits: [
      'The machine-config operator writes registries.conf on every node; a change of the tag mirrors drains and restarts nodes, one after the other.',
      ...limits,
    ],
  };
}

type Cached = Pick<SetupRequest, 'cache' | 'routes'>;

/** Keys are hosts, with two dots before the port. */
function authorityMap({ cache, routes }: Cached): ClientSetup['files'] {
  const { ca } = cache;
  if (ca === undefined) return [];
  const map = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: AUTHORITY_MAP, namespace: 'openshift-config' },
    data: Object.fromEntries(
      cacheHosts(cache, routes).map((host) => [host.replace(/:(\d+)$/, '..$1'), `${ca.trimEnd()}\n`]),
    ),
  };
  return [setupFile('openshift-entrepot-ca.yaml', yamlText('The authority of the cache.', map))];
}

function trustSteps({ cache, routes }: Cached): readonly string[] {
  if (cache.isPlain) {
    return [
      `${patch({ registrySources: { insecureRegistries: cacheHosts(cache, routes) } })}    # write those that are listed already into it, too`,
    ];
  }
  return cache.ca === undefined
    ? []
    : ['oc apply -f openshift-entrepot-ca.yaml', patch({ additionalTrustedCA: { name: AUTHORITY_MAP } })];
}

function patch(spec: object): string {
  return `oc patch image.config.openshift.io/cluster --type=merge --patch '${JSON.stringify({ spec })}'`;
}
