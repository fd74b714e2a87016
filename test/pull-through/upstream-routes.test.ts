import { describe, expect, it } from 'vitest';
import { profileFor } from '../../src/config-profile.ts';
import { parseTarget } from '../../src/oci/path.ts';
import { PullThroughError } from '../../src/pull-through/pull-through-error.ts';
import { repositoryOf, UpstreamRoutes } from '../../src/pull-through/upstream-routes.ts';

const hub = profileFor({ name: 'docker.io', url: 'https://registry-1.docker.io' });
const UPSTREAMS = [
  {
    name: 'docker.io',
    default: true,
    prefixes: ['docker.io', 'hub'],
    hosts: ['hub.mirror.local'],
    profile: hub,
  },
  { name: 'quay.io', default: false, prefixes: ['quay.io'], hosts: ['quay.mirror.local', 'quay.local:8443'] },
  { name: 'internal:5000', default: false, prefixes: ['internal'], hosts: [] },
];
const routes = new UpstreamRoutes(UPSTREAMS);

function find(target: string, host: string | undefined = 'cache.example:5000'): string {
  const parsed = parseTarget(target);
  if (parsed === undefined) throw new Error(`no endpoint: ${target}`);
  try {
    const { upstream, repository } = repositoryOf(routes.find(parsed, { host }));
    return `${upstream} ${repository}`;
  } catch (error) {
    if (error instanceof PullThroughError) return error.reason;
    throw error;
  }
}

describe('a route', () => {
  it.each([
    ['/v2/nginx/manifests/1', 'docker.io library/nginx'],
    ['/v2/library/nginx/manifests/1', 'docker.io library/nginx'],
    ['/v2/docker.io/nginx/manifests/1', 'docker.io library/nginx'],
    ['/v2/hub/nginx/manifests/1', 'docker.io library/nginx'],
    ['/hub/v2/nginx/manifests/1', 'docker.io library/nginx'],
    ['/v2/nginx/manifests/1?ns=docker.io', 'docker.io library/nginx'],
    ['/v2/nginx/manifests/1?ns=index.docker.io', 'docker.io library/nginx'],
    ['/v2/nginx/manifests/1?ns=registry-1.docker.io', 'docker.io library/nginx'],
    ['/v2/quay.io/coreos/etcd/manifests/1', 'quay.io coreos/etcd'],
    ['/quay.io/v2/coreos/etcd/manifests/1', 'quay.io coreos/etcd'],
    ['/v2/coreos/etcd/manifests/1?ns=quay.io', 'quay.io coreos/etcd'],
    ['/v2/quay.io/coreos/etcd/manifests/1?ns=quay.io', 'quay.io coreos/etcd'],
    ['/quay.io/v2/coreos/etcd/manifests/1?ns=quay.io', 'quay.io coreos/etcd'],
    ['/v2/etcd/manifests/1?ns=quay.io', 'quay.io etcd'],
    ['/v2/app/manifests/1?ns=internal:5000', 'internal:5000 app'],
    ['/v2/internal/app/manifests/1', 'internal:5000 app'],
    // Another upstream's prefix within what ns named is a part of the name there.
    ['/v2/quay.io/etcd/manifests/1?ns=docker.io', 'docker.io quay.io/etcd'],
    ['/v2/quay.io/manifests/1', 'docker.io library/quay.io'],
    ['/v2/nginx/manifests/1?ns=evil.example', 'unknown-upstream'],
    ['/v2/nginx/manifests/1?ns=docker.io:443', 'unknown-upstream'],
    ['/v2/nginx/manifests/1?ns=hub.mirror.local', 'unknown-upstream'],
    ['/evil.example/v2/nginx/manifests/1', 'unknown-upstream'],
    ['/quay.io/v2/nginx/manifests/1?ns=docker.io', 'unknown-upstream'],
  ])('of %s is to %s', (target, expected) => {
    expect(find(target)).toBe(expected);
  });

  it('by Host comes before the default, and behind ns', () => {
    expect(find('/v2/coreos/etcd/manifests/1', 'quay.mirror.local')).toBe('quay.io coreos/etcd');
    expect(find('/v2/quay.io/coreos/etcd/manifests/1', 'quay.mirror.local')).toBe('quay.io coreos/etcd');
    expect(find('/v2/nginx/manifests/1?ns=docker.io', 'quay.mirror.local')).toBe('docker.io library/nginx');
    expect(find('/hub/v2/nginx/manifests/1', 'quay.mirror.local')).toBe('unknown-upstream');
    expect(find('/v2/nginx/manifests/1', undefined)).toBe('docker.io library/nginx');
  });

  it('by Host holds at whatever port clients come in, unless the configuration names one', () => {
    expect(find('/v2/coreos/etcd/manifests/1', 'quay.mirror.local:5000')).toBe('quay.io coreos/etcd');
    expect(find('/v2/coreos/etcd/manifests/1', 'quay.local:8443')).toBe('quay.io coreos/etcd');
    expect(find('/v2/coreos/etcd/manifests/1', 'quay.local:9999')).toBe('docker.io coreos/etcd');
    expect(find('/v2/coreos/etcd/manifests/1', 'quay.local')).toBe('docker.io coreos/etcd');
    expect(find('/v2/coreos/etcd/manifests/1', '[::1]:5000')).toBe('docker.io coreos/etcd');
  });

  it('takes an ns that is our own host for none', () => {
    expect(find('/v2/nginx/manifests/1?ns=cache.example:5000')).toBe('docker.io library/nginx');
    expect(find('/v2/quay.io/coreos/etcd/manifests/1?ns=cache.example:5000')).toBe('quay.io coreos/etcd');
  });

  it('takes an ns that is an upstream for that, even when we are reached by the same name', () => {
    expect(find('/v2/coreos/etcd/manifests/1?ns=quay.io', 'quay.io')).toBe('quay.io coreos/etcd');
    expect(find('/v2/app/manifests/1?ns=internal:5000', 'internal:5000')).toBe('internal:5000 app');
  });

  it('is unknown where nothing names an upstream and there is no default', () => {
    const strict = new UpstreamRoutes(UPSTREAMS.slice(1));
    const target = parseTarget('/v2/nginx/manifests/1');
    if (target === undefined) throw new Error('no endpoint');
    expect(() => strict.find(target, { host: 'cache.example' })).toThrow(PullThroughError);
  });
});
