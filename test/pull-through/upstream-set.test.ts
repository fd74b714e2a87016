import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import type { UpstreamConfig } from '../../src/config.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { parseRepositoryName } from '../../src/oci/reference.ts';
import { parseTagPattern } from '../../src/oci/tag-pattern.ts';
import { RETIREMENT_LIMIT_MS, RETIRING_LIMIT, UpstreamSet } from '../../src/pull-through/upstream-set.ts';
import type { Upstream } from '../../src/upstream/upstream.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeClock } from '../support/fake-clock.ts';

const DIGEST = digestOf(Buffer.from('blob'));
const REPOSITORY = parseRepositoryName('library/app');
const never = new AbortController().signal;
const SECOND = 1000;

function config(name: string, more: Partial<UpstreamConfig> = {}): UpstreamConfig {
  return {
    name,
    url: `https://${name}`,
    default: false,
    prefixes: [name],
    hosts: [],
    trustedHosts: [],
    tagTtlMs: 0,
    maxStaleMs: 0,
    ...more,
  };
}

const unasked = () => Promise.reject(new Error('not asked for here'));

/** A client whose blobs come when they are told to. */
function fakeClient({ name, url }: UpstreamConfig, closed: string[]) {
  const bodies: Readable[] = [];
  const client: Upstream = {
    name,
    headManifest: unasked,
    getManifest: unasked,
    headBlob: () => Promise.resolve(url.length),
    getBlob: () => {
      const body = new Readable({ read: () => undefined });
      bodies.push(body);
      return Promise.resolve({
        start: 0,
        sizeBytes: 4,
        etag: undefined,
        body,
        giveBack: () => undefined,
      });
    },
    listTags: unasked,
    listReferrers: unasked,
    blobWasWrong: () => undefined,
    close: () => {
      closed.push(url);
      for (const body of bodies) body.destroy(new Error('the client is closed'));
      return Promise.resolve();
    },
  };
  return client;
}

function start(...configs: readonly UpstreamConfig[]) {
  const clock = new FakeClock();
  const opened: string[] = [];
  const closed: string[] = [];
  const gone: string[] = [];
  const currents: (() => boolean)[] = [];
  const open = (wanted: UpstreamConfig, isCurrent: () => boolean): Upstream => {
    if (wanted.url.includes('broken')) throw new Error('cannot be opened');
    opened.push(wanted.url);
    currents.push(isCurrent);
    return fakeClient(wanted, closed);
  };
  const set = closeAfterTest(
    new UpstreamSet(configs, { clock, open, isOffline: () => false, onGone: (name) => gone.push(name) }),
  );
  const pass = async (ms: number): Promise<void> => {
    for (let left = ms; left > 0; left -= SECOND) await clock.advance(Math.min(left, SECOND));
  };
  const blob = async (name: string) => {
    const upstream = set.get(name);
    if (upstream === undefined) throw new Error(`no ${name}`);
    const { body } = await upstream.getBlob(REPOSITORY, DIGEST, { start: 0 }, never);
    body.on('error', () => undefined);
    return body;
  };
  return { set, clock, opened, closed, gone, currents, pass, blob };
}

describe('upstreams of a new configuration', () => {
  it('keep their client where only names, rules and shares are other', () => {
    const one = config('quay.io', { immutableTags: [parseTagPattern('v.*') ?? []].flat() });
    const { set, opened } = start(one);
    const handle = set.get('quay.io');
    const other = config('quay.io', {
      immutableTags: [parseTagPattern('v.*') ?? []].flat(),
      hosts: ['quay.local'],
      tagTtlMs: 5,
      maxSize: { bytes: 5 },
      limits: { pullReserve: { pulls: 5 } },
    });
    expect(set.renew([other]).commit()).toEqual({
      added: [],
      changed: ['quay.io'],
      renewed: [],
      removed: [],
    });
    expect(set.get('quay.io')).toBe(handle);
    expect(opened).toEqual(['https://quay.io']);
    expect(set.configOf('quay.io')).toBe(other);
    expect(set.renew([config('quay.io', { ...other })]).commit().changed).toEqual([]);
  });

  it('are asked by their new client from the next call on, by whoever held on to them', async () => {
    const { set, closed, pass } = start(config('quay.io'));
    const handle = set.get('quay.io');
    set.renew([config('quay.io', { url: 'https://elsewhere' })]).commit();
    expect(await handle?.headBlob(REPOSITORY, DIGEST, never)).toBe('https://elsewhere'.length);
    await pass(3 * SECOND);
    expect(closed).toEqual(['https://quay.io']);
  });

  it('are spoken of by their new client alone, from the moment that it holds', () => {
    const { set, currents } = start(config('quay.io'));
    const standing = () => currents.map((isCurrent) => isCurrent());
    const next = set.renew([config('quay.io', { url: 'https://elsewhere' }), config('a.example')]);
    expect(standing()).toEqual([true, false, false]);
    expect(next.commit()).toMatchObject({ added: ['a.example'], renewed: ['quay.io'] });
    expect(standing()).toEqual([false, true, true]);
    set.renew([]).commit();
    expect(standing()).toEqual([false, false, false]);
  });

  it('leave none open where one of them cannot be', () => {
    const { set, opened, closed } = start(config('quay.io'));
    const next = [config('a.example'), config('quay.io'), config('broken.example')];
    expect(() => set.renew(next)).toThrow('cannot be opened');
    expect([opened.slice(1), closed]).toEqual([['https://a.example'], ['https://a.example']]);
    expect(set.names).toEqual(['quay.io']);
  });

  it('are never heard of when they are discarded', () => {
    const { set, closed } = start(config('quay.io'));
    set.renew([config('quay.io'), config('a.example')]).discard();
    expect(closed).toEqual(['https://a.example']);
    expect(set.get('a.example')).toBeUndefined();
  });
});

describe('an upstream that is gone', () => {
  it('is found by no new request, and brings what runs to its end', async () => {
    const { set, closed, gone, pass, blob } = start(config('quay.io'), config('a.example'));
    const body = await blob('quay.io');
    set.renew([config('a.example')]).commit();
    const target = { endpoint: { kind: 'base' }, ns: 'quay.io', leading: undefined } as const;
    expect(() => set.routes.find(target, { host: undefined })).toThrow('no upstream is configured');
    const key = { upstream: 'quay.io', repository: REPOSITORY };
    await pass(60 * SECOND);
    // Of what is under way rules and client are still there.
    expect(set.of(key)).toBeDefined();
    expect(closed).toEqual([]);
    body.destroy();
    await pass(3 * SECOND);
    expect([closed, gone, set.retiringCount]).toEqual([['https://quay.io'], ['quay.io'], 0]);
    expect(set.get('quay.io')).toBeUndefined();
    expect(() => set.of(key)).toThrow('no upstream is configured');
  });

  it('is kept as long as something may yet ask it', async () => {
    const { set, closed, pass } = start(config('quay.io'));
    let isWanted = true;
    set.isWanted = () => isWanted;
    set.renew([]).commit();
    await pass(30 * SECOND);
    expect(closed).toEqual([]);
    isWanted = false;
    await pass(3 * SECOND);
    expect(closed).toEqual(['https://quay.io']);
  });

  it('is closed when its time is over, whatever runs', async () => {
    const { set, closed, pass, blob } = start(config('quay.io'));
    const body = await blob('quay.io');
    set.renew([]).commit();
    await pass(RETIREMENT_LIMIT_MS - SECOND);
    expect(body.destroyed).toBe(false);
    await pass(2 * SECOND);
    expect([closed, body.destroyed]).toEqual([['https://quay.io'], true]);
  });

  it('may come back before that, with a client of its own', async () => {
    const { set, closed, gone, pass, blob } = start(config('quay.io'));
    const body = await blob('quay.io');
    const handle = set.get('quay.io');
    set.renew([]).commit();
    set.renew([config('quay.io', { url: 'https://back.example' })]).commit();
    expect(await handle?.headBlob(REPOSITORY, DIGEST, never)).toBe('https://back.example'.length);
    body.destroy();
    await pass(3 * SECOND);
    expect([closed, gone]).toEqual([['https://quay.io'], []]);
    expect(set.get('quay.io')).toBe(handle);
  });
});

it('no more than so many clients finish at the same time: the oldest gives way', async () => {
  const { set, closed, pass, blob } = start(config('quay.io'));
  for (let turn = 0; turn <= RETIRING_LIMIT; turn += 1) {
    await blob('quay.io');
    set.renew([config('quay.io', { url: `https://turn${turn}` })]).commit();
  }
  await pass(3 * SECOND);
  expect(closed).toEqual(['https://quay.io']);
  expect(set.retiringCount).toBe(RETIRING_LIMIT);
});

it('closing ends all of them at once', async () => {
  const { set, closed, clock, blob } = start(config('quay.io'));
  await blob('quay.io');
  set.renew([config('a.example')]).commit();
  await set.close();
  expect(closed.toSorted()).toEqual(['https://a.example', 'https://quay.io']);
  expect(clock.sleeping).toBe(0);
});
