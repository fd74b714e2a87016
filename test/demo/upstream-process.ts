import { buildImage, pushTo } from '../support/images.ts';
import { FakeRegistry } from '../support/fake-registry.ts';

/**
 * The demo's upstream registry, in a process of its own so that it can really go away. Says where it is and what it
 * holds, and answers every message with what it was asked since the one before. Ends with its parent.
 */

const MIB = 1024 * 1024;
const LAYERS = [12 * MIB, 8 * MIB, 4 * MIB, 256 * 1024];

const registry = await FakeRegistry.start();
const images = ['first', 'second'].map((tag, number) => {
  const image = buildImage({
    layerSizes: LAYERS,
    platforms: ['linux/amd64', 'linux/arm64'],
    seed: number + 1,
  });
  const repository = `demo/${tag}`;
  pushTo(registry, { repository, tag: 'latest', image });
  return { repository, tag: 'latest', digest: image.root.digest };
});
process.on('message', () => {
  const { requests } = registry;
  process.send?.({
    requests: requests.length,
    blobRequests: requests.filter(({ path }) => path.includes('/blobs/')).length,
    blobBytes: registry.blobBodyBytes(),
  });
  registry.forget();
});
process.on('disconnect', () => process.exit(0));
process.send?.({ url: registry.url, images });
