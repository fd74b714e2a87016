import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { UpstreamStandings } from '../../src/activity/upstream-standings.ts';
import { systemClock } from '../../src/clock.ts';
import { OCI_MANIFEST } from '../../src/oci/media-type.ts';
import { bothObservers } from '../../src/upstream/upstream-observer.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { hurriedClock } from '../support/hurried-clock.ts';
import { FakeHost } from '../support/fake-host.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import type { FaultAction } from '../support/fault.ts';
import {
  credentials,
  failure,
  latest,
  manifestText,
  never,
  once,
  RecordingObserver,
  repository,
  upstreamAt,
} from './upstream-under-test.ts';

const encoded = Buffer.from(`${credentials.username}:${credentials.password}`).toString('base64');

describe('no secret is in an error, its causes or what the observer hears', () => {
  it.each<[string, FaultAction]>([
    ['is refused', { respond: { status: 403, body: 'canary-body' } }],
    ['is cut before the headers', { drop: 'reset' }],
    ['is not HTTP', { raw: 'canary-raw\r\n\r\n', drop: 'end' }],
    [
      'is a redirect to nowhere',
      { respond: { status: 307, headers: { location: 'http://[canary-location' } } },
    ],
    [
      'is another redirect',
      { respond: { status: 307, headers: { location: 'http://canary-user:canary-p4ss@x.example/' } } },
    ],
    [
      'is of another kind',
      { respond: { status: 200, headers: { 'content-type': 'text/html' }, body: 'canary-body' } },
    ],
    ['is encoded', { respond: { status: 200, headers: { 'content-encoding': 'canary-encoding' } } }],
  ])('when the answer of a signed URL %s', async (_what, action) => {
    const storage = closeAfterTest(await FakeHost.start({ hostname: '127.0.0.2' }));
    storage.faults.add({ action });
    const registry = closeAfterTest(
      await FakeRegistry.start({
        auth: { mode: 'bearer', credentials: [credentials] },
        redirect: () => `${storage.url}/canary-path?X-Amz-Signature=canary-signature`,
      }),
    );
    const digest = registry.addBlob(repository, { size: 100, seed: 1 });
    const observer = new RecordingObserver();
    const standings = new UpstreamStandings(systemClock, [{ name: 'test.example', url: registry.url }]);
    const config = { auth: credentials, trustedHosts: [storage.host] };
    const upstream = upstreamAt(registry.url, config, {
      observer: bothObservers(observer, standings.observer('test.example')),
      clock: hurriedClock(10),
    });
    const errors = [
      await failure(upstream.getManifest(repository, latest, once, never())),
      ...(action.respond?.status === 200
        ? []
        : [await failure(upstream.getBlob(repository, digest, { start: 0 }, never()))]),
    ];
    expect(storage.requests.length).toBeGreaterThan(0);
    expect(standings.standings[0]?.lastErrors.length).toBeGreaterThan(0);
    const told = inspect([errors, observer.events, standings.standings], { depth: 20, showHidden: true });
    expect(told).not.toContain('canary');
    expect(told).not.toContain(encoded);
    expect(told).not.toMatch(/fake-[0-9a-f]{8}-/);
  });

  it('when the credentials are refused', async () => {
    const registry = closeAfterTest(
      await FakeRegistry.start({ auth: { mode: 'bearer', credentials: [], anonymous: /^$/ } }),
    );
    registry.addManifest(repository, manifestText(), OCI_MANIFEST, ['latest']);
    const observer = new RecordingObserver();
    const standings = new UpstreamStandings(systemClock, [{ name: 'test.example', url: registry.url }]);
    const both = bothObservers(observer, standings.observer('test.example'));
    const upstream = upstreamAt(registry.url, { auth: credentials }, { observer: both });
    const error = await failure(upstream.getManifest(repository, latest, once, never()));
    expect(error.reason).toBe('denied');
    const told = inspect([error, observer.events, standings.standings], { depth: 20 });
    expect(told).not.toContain(credentials.password);
    expect(told).not.toContain(encoded);
  });

  it('when somebody looks at the upstream itself', () => {
    const upstream = upstreamAt('https://registry.example', { auth: credentials });
    expect(inspect(upstream, { depth: 20, showHidden: true })).not.toContain(credentials.password);
    expect(JSON.stringify(upstream)).not.toContain(credentials.password);
  });
});
