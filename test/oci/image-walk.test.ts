import { describe, expect, it } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { type ManifestReader, walkImage, type WalkStep } from '../../src/oci/image-walk.ts';
import { OCI_INDEX } from '../../src/oci/media-type.ts';
import { parsePlatform, type Platform } from '../../src/oci/platform.ts';
import { type BuiltContent, buildImage, descriptorOf } from '../support/images.ts';

const readerOf =
  (manifests: readonly BuiltContent[]): ManifestReader =>
  async ({ digest }) =>
    manifests.find((manifest) => manifest.digest === digest);

function platform(text: string): Platform {
  const read = parsePlatform(text);
  if ('problem' in read) throw new Error(read.problem);
  return read;
}

async function stepsOf(...of: Parameters<typeof walkImage>): Promise<readonly WalkStep[]> {
  const steps: WalkStep[] = [];
  for await (const step of walkImage(...of)) steps.push(step);
  return steps;
}

const digestsOf = (steps: readonly WalkStep[], step: WalkStep['step']): readonly string[] =>
  steps
    .filter((one) => one.step === step)
    .map((one) => ('descriptor' in one ? one.descriptor.digest : one.digest));

/** An index over `children`, as BuildKit writes them. */
function indexOf(children: readonly Record<string, unknown>[]): BuiltContent {
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: children }));
  return { mediaType: OCI_INDEX, bytes, digest: digestOf(bytes), size: bytes.length };
}

describe('walking an image', () => {
  const image = buildImage({ platforms: ['linux/amd64', 'linux/arm64'] });
  const all = [image.root, ...image.manifests];

  it('of several platforms finds the index, every manifest before its blobs, and each blob once', async () => {
    const steps = await stepsOf(image.root, readerOf(all));
    expect(digestsOf(steps, 'manifest')).toEqual(all.map(({ digest }) => digest));
    const wanted = new Set(
      image.manifests.flatMap(({ config, layers }) => [config, ...layers].map((b) => b.digest)),
    );
    const blobs = digestsOf(steps, 'blob');
    expect(new Set(blobs)).toEqual(wanted);
    expect(blobs).toHaveLength(wanted.size);
  });

  it('takes of an index the platforms asked for, and says which manifests were left out', async () => {
    const steps = await stepsOf(image.root, readerOf(all), [platform('linux/arm64')]);
    const [amd64, arm64] = image.manifests;
    expect(digestsOf(steps, 'manifest')).toEqual([image.root.digest, arm64?.digest]);
    expect(digestsOf(steps, 'left-out')).toEqual([amd64?.digest]);
  });

  it('says what is offered when nothing fits', async () => {
    const steps = await stepsOf(image.root, readerOf(all), [platform('linux/s390x')]);
    expect(steps.find(({ step }) => step === 'unmatched')).toMatchObject({
      offered: [{ architecture: 'amd64' }, { architecture: 'arm64' }],
    });
  });

  it('goes on past a manifest that cannot be had', async () => {
    const [, arm64] = image.manifests;
    const steps = await stepsOf(image.root, readerOf(all.filter(({ digest }) => digest !== arm64?.digest)));
    expect(digestsOf(steps, 'missing')).toEqual([arm64?.digest]);
    expect(digestsOf(steps, 'manifest')).toHaveLength(2);
  });

  it('takes the attestations of the platforms that it takes, and of no other', async () => {
    const children = image.manifests.flatMap((manifest, i) => [
      { ...descriptorOf(manifest), platform: { os: 'linux', architecture: i === 0 ? 'amd64' : 'arm64' } },
      {
        ...descriptorOf(buildImage({ seed: 100 + i }).root),
        platform: { os: 'unknown', architecture: 'unknown' },
        annotations: {
          'vnd.docker.reference.type': 'attestation-manifest',
          'vnd.docker.reference.digest': manifest.digest,
        },
      },
    ]);
    const index = indexOf(children);
    const attestations = [100, 101].map((seed) => buildImage({ seed }).root);
    const read = readerOf([index, ...all, ...attestations]);
    expect(digestsOf(await stepsOf(index, read, [platform('linux/amd64')]), 'manifest')).toEqual([
      index.digest,
      image.manifests[0]?.digest,
      attestations[0]?.digest,
    ]);
    expect(digestsOf(await stepsOf(index, read), 'manifest')).toHaveLength(5);
  });

  it('ends where indexes lie in each other without end, and says so', async () => {
    const nested: BuiltContent[] = [indexOf([])];
    while (nested.length < 50) nested.unshift(indexOf(nested.slice(0, 1).map(descriptorOf)));
    const steps = await stepsOf(nested[0] ?? image.root, readerOf(nested));
    expect(digestsOf(steps, 'manifest').length).toBeLessThan(20);
    expect(digestsOf(steps, 'missing')).toHaveLength(1);
  });
});
