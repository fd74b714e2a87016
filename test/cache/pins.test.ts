import { describe, expect, it } from 'vitest';
import { leastRecentUse } from '../support/least-recent-use.ts';
import { Pins } from '../../src/cache/pins.ts';
import { openDatabase } from '../../src/metadata/database.ts';
import type { NewManifest, RepositoryKey } from '../../src/metadata/metadata-store.ts';
import { SqliteMetadataStore } from '../../src/metadata/sqlite-metadata-store.ts';
import { type Digest, digestOf } from '../../src/oci/digest.ts';
import { storedImagePattern } from '../../src/oci/image-pattern.ts';
import { parseRepositoryName, parseTag } from '../../src/oci/reference.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { tempDir } from '../support/temp-dir.ts';

const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';

interface Subject {
  readonly metadata: SqliteMetadataStore;
  readonly pins: Pins;
  /** How often the index was told what is pinned. */
  readonly told: () => number;
  readonly pull: (path: string, name: string, layers: readonly string[], tag?: string) => Promise<Digest>;
  /** After a refresh, the names of what eviction may take. */
  readonly victims: () => Promise<readonly string[]>;
}

async function start(...patterns: readonly string[]): Promise<Subject> {
  const metadata = closeAfterTest(new SqliteMetadataStore(openDatabase(await tempDir()), leastRecentUse));
  const names = new Map<Digest, string>();
  const named = (name: string): Digest => {
    const digest = digestOf(Buffer.from(name));
    names.set(digest, name);
    return digest;
  };
  const configured = patterns.map(patternOf);
  const pins = new Pins({ metadata, configured });
  let told = 0;
  const setPinned = metadata.images.setPinned.bind(metadata.images);
  metadata.images.setPinned = (roots) => {
    told += 1;
    return setPinned(roots);
  };
  return {
    metadata,
    pins,
    told: () => told,
    pull: async (path, name, layers, tag) => {
      const slash = path.indexOf('/');
      const key: RepositoryKey = {
        upstream: path.slice(0, slash),
        repository: parseRepositoryName(path.slice(slash + 1)),
      };
      const manifest: NewManifest = {
        digest: named(name),
        sizeBytes: 1,
        mediaType: MANIFEST,
        isIndex: false,
        children: layers.map((layer) => ({
          digest: named(layer),
          sizeBytes: 10,
          kind: 'layer',
          isHeld: true,
        })),
      };
      await metadata.recordManifest(key, manifest);
      if (tag !== undefined)
        await metadata.putTag(
          { ...key, tag: parseTag(tag), accept: '' },
          { digest: manifest.digest, checkedAt: 1 },
        );
      for (const { digest, sizeBytes } of [manifest, ...manifest.children])
        await metadata.blobs.put({ digest, sizeBytes }, 1);
      return manifest.digest;
    },
    victims: async () => {
      await pins.refresh();
      const found = await metadata.blobs.victims({ limit: 100 });
      return found.map(({ digest }) => names.get(digest) ?? digest).toSorted();
    },
  };
}

describe('what is never evicted', () => {
  it('is all that an image lists whose tag is named, and nothing of another tag', async () => {
    const { pull, victims, pins } = await start('docker.io/library/app:v1');
    await pull('docker.io/library/app', 'one', ['base', 'l1'], 'v1');
    await pull('docker.io/library/app', 'two', ['base', 'l2'], 'v2');
    expect(await victims()).toEqual(['l2', 'two']);
    expect(pins.totals).toEqual({ bytes: 21, blobs: 3 });
  });

  it('is everything of the repositories that a pattern matches, also what was pulled by digest', async () => {
    const { pull, victims } = await start('docker.io/library/*');
    await pull('docker.io/library/app', 'tagged', ['l1'], 'v1');
    await pull('docker.io/library/other', 'untagged', ['l2']);
    await pull('docker.io/team/app', 'else', ['l3'], 'v1');
    await pull('quay.io/library/app', 'elsewhere', ['l4'], 'v1');
    expect(await victims()).toEqual(['else', 'elsewhere', 'l3', 'l4']);
  });

  it('is an image by its digest, whatever its tags mean', async () => {
    const first = await start();
    const digest = await first.pull('ghcr.io/org/app', 'one', ['l1'], 'v1');
    const { pull, victims } = await start(`ghcr.io/org/app@${digest}`);
    await pull('ghcr.io/org/app', 'two', ['l2'], 'v1');
    await pull('ghcr.io/org/app', 'one', ['l1']);
    expect(await victims()).toEqual(['l2', 'two']);
  });

  it('is what was pinned by a command too, until it is unpinned', async () => {
    const { metadata, pull, victims } = await start();
    await pull('docker.io/library/app', 'one', ['l1'], 'v1');
    expect(await victims()).toEqual(['l1', 'one']);
    await metadata.images.addPin('docker.io/library/app:v*');
    expect(await victims()).toEqual([]);
    await metadata.images.removePin('docker.io/library/app:v*');
    expect(await victims()).toEqual(['l1', 'one']);
  });

  it('moves with its tag, and grows with what comes after the last refresh', async () => {
    const { metadata, pins, pull, victims } = await start('docker.io/library/app:v1');
    await pull('docker.io/library/app', 'one', ['l1'], 'v1');
    expect(await victims()).toEqual([]);
    expect(pins.isCurrent).toBe(true);
    await pull('docker.io/library/app', 'two', ['l2'], 'v1');
    expect(pins.isCurrent).toBe(false);
    expect(await victims()).toEqual(['l1', 'one']);
    const key = { upstream: 'docker.io', repository: parseRepositoryName('library/app') };
    await metadata.deleteTag(key, parseTag('v1'));
    expect(await victims()).toEqual(['l1', 'l2', 'one', 'two']);
  });

  it('may be named before any of it is here', async () => {
    const { pull, victims } = await start('docker.io/library/app:v1');
    expect(await victims()).toEqual([]);
    await pull('docker.io/library/app', 'one', ['l1'], 'v1');
    expect(await victims()).toEqual([]);
  });
});

describe('refreshing', () => {
  it('does nothing while nothing changed: a tag that is only confirmed and a manifest that is known change nothing', async () => {
    const { pull, pins, told } = await start('docker.io/library/app');
    await pull('docker.io/library/app', 'one', ['l1'], 'v1');
    await pins.refresh();
    expect(told()).toBe(1);
    await pins.refresh();
    await pull('docker.io/library/app', 'one', ['l1'], 'v1');
    expect(pins.isCurrent).toBe(true);
    await pins.refresh();
    expect(told()).toBe(1);
  });

  it('tells the index nothing however much is pulled where nothing is pinned', async () => {
    const { pull, pins, told } = await start();
    for (const tag of ['v1', 'v2', 'v3']) {
      await pull('docker.io/library/app', tag, [`l ${tag}`], tag);
      await pins.refresh();
    }
    expect(told()).toBe(1);
  });

  it('comes to an end however much is pulled meanwhile of what is not pinned', async () => {
    const { metadata, pull, pins, told, victims } = await start('docker.io/library/kept');
    await pull('docker.io/library/kept', 'one', ['l1'], 'v1');
    const setPinned = metadata.images.setPinned.bind(metadata.images);
    let pulls = 0;
    metadata.images.setPinned = async (roots) => {
      const totals = await setPinned(roots);
      pulls += 1;
      if (pulls < 20) await pull('docker.io/library/other', `other ${pulls}`, [`l ${pulls}`], `v${pulls}`);
      return totals;
    };
    await pins.refresh();
    expect(told()).toBe(1);
    // What a pinned index lists is pinned, wherever it is pulled.
    await pull('docker.io/library/other', 'one', ['l1', 'l2'], 'v1');
    expect(await victims()).not.toContain('l2');
    // A pattern that is new counts at once.
    await metadata.images.addPin('docker.io/library/other:v1');
    await pins.refresh();
    await pull('docker.io/library/other', 'other 1', ['l 1'], 'v1');
    expect(pins.isCurrent).toBe(false);
  });

  it('is shared by all who ask at once, and is done again for what changed meanwhile', async () => {
    const { metadata, pull, pins, told, victims } = await start('docker.io/library/app:v1');
    await pull('docker.io/library/app', 'one', ['l1'], 'v1');
    const both = [pins.refresh(), pins.refresh()];
    await pull('docker.io/library/app', 'two', ['l2'], 'v1');
    await Promise.all(both);
    expect(pins.isCurrent).toBe(true);
    expect(told()).toBeLessThanOrEqual(3);
    expect(await metadata.blobs.victims({ limit: 9 })).toHaveLength(2);
    expect(await victims()).toEqual(['l1', 'one']);
  });

  it('passes over a stored pattern that cannot be read', async () => {
    const { metadata, pull, victims } = await start('docker.io/library/app');
    await metadata.images.addPin('of a later version');
    await pull('docker.io/library/app', 'one', ['l1'], 'v1');
    expect(await victims()).toEqual([]);
  });
});

function patternOf(text: string) {
  const pattern = storedImagePattern(text);
  if (pattern === undefined) throw new Error(`${text} is no pattern`);
  return pattern;
}

describe('other patterns of the configuration', () => {
  it('hold with the next refresh, which is due at once', async () => {
    const { pull, victims, pins } = await start('docker.io/library/app:v1');
    await pull('docker.io/library/app', 'one', ['l1'], 'v1');
    await pull('docker.io/library/app', 'two', ['l2'], 'v2');
    expect(await victims()).toEqual(['l2', 'two']);
    expect(pins.isCurrent).toBe(true);
    pins.configure([patternOf('docker.io/library/app:v2')]);
    expect(pins.isCurrent).toBe(false);
    expect(await victims()).toEqual(['l1', 'one']);
    pins.configure([]);
    expect(await victims()).toEqual(['l1', 'l2', 'one', 'two']);
  });

  it('are not forgotten by a refresh that was on its way', async () => {
    const { pull, victims, pins } = await start('docker.io/library/app:v1');
    await pull('docker.io/library/app', 'one', ['l1'], 'v1');
    const refreshing = pins.refresh();
    pins.configure([]);
    await refreshing;
    expect(await victims()).toEqual(['l1', 'one']);
  });

  it('have what is pulled before the refresh looked at again', async () => {
    const { pull, victims, pins } = await start();
    expect(await victims()).toEqual([]);
    pins.configure([patternOf('docker.io/library/app:v1')]);
    await pull('docker.io/library/app', 'one', ['l1'], 'v1');
    expect(await victims()).toEqual([]);
  });
});
