import { type Random, Zipf } from './random.ts';

/** Something with a digest. `lists` and `listedBy` are numbers of other items. */
export interface Item {
  readonly kind: 'index' | 'manifest' | 'config' | 'layer';
  readonly sizeBytes: number;
  readonly lists: readonly number[];
  readonly listedBy: number[];
}

/** A version of a repository, as one platform's client pulls it: items in the order in which it asks for them. */
export interface Image {
  readonly publishedAt: number;
  /** By platform: index (where there is one), manifest, config, layers. */
  readonly platforms: readonly (readonly number[])[];
}

export interface Catalogue {
  readonly items: readonly Item[];
  /** Versions of each repository, the oldest first. */
  readonly repositories: readonly (readonly Image[])[];
}

const KIB = 1024;
const MIB = 1024 * KIB;
const DAY_MS = 24 * 60 * 60_000;
const REPOSITORIES = 200;
const VERSIONS = { least: 4, most: 16 };
/** Published before the trace begins, as a share of `durationMs`. */
const PAST = 0.6;
const BASES = 20;
const BASE_LIFE_DAYS = { least: 10, most: 40 };
const MULTI_PLATFORM = 0.6;
const LARGEST_LAYER = 2 * KIB * MIB;

/** 200 repositories with 2,000 versions: base layers shared between them, dependencies between some versions. */
export function makeCatalogue(random: Random, durationMs: number): Catalogue {
  const items: Item[] = [];
  const add = (kind: Item['kind'], sizeBytes: number, lists: readonly number[] = []) => {
    const number = items.push({ kind, sizeBytes: Math.ceil(sizeBytes), lists, listedBy: [] }) - 1;
    for (const child of lists) items[child]?.listedBy.push(number);
    return number;
  };
  const layers = (count: number, medianBytes: number, sigma: number) =>
    Array.from({ length: count }, () =>
      add('layer', Math.min(random.logNormal(medianBytes, sigma), LARGEST_LAYER)),
    );
  const from = -PAST * durationMs;

  const bases = Array.from({ length: BASES }, () => {
    const releases: { at: number; platforms: number[][] }[] = [];
    const lifeMs = random.between(BASE_LIFE_DAYS.least, BASE_LIFE_DAYS.most) * DAY_MS;
    for (let at = from - random.next() * lifeMs; at < durationMs; at += lifeMs)
      releases.push({ at, platforms: [0, 1].map(() => layers(1 + random.below(3), 25 * MIB, 0.8)) });
    return releases;
  });
  const basePopularity = new Zipf(BASES, 1);

  const repository = (): readonly Image[] => {
    const base = bases[basePopularity.pick(random)] ?? [];
    const platformCount = random.chance(MULTI_PLATFORM) ? 2 : 1;
    const count = VERSIONS.least + random.below(VERSIONS.most - VERSIONS.least + 1);
    const times = Array.from({ length: count }, () => random.between(from, durationMs)).toSorted(
      (a, b) => a - b,
    );
    let dependencies: number[][] = [];
    return times.map((publishedAt, version) => {
      const built = base.findLast(({ at }) => at <= publishedAt)?.platforms ?? [];
      if (version === 0 || random.chance(1 / 3))
        dependencies = [0, 1].map(() => layers(random.below(3), 12 * MIB, 1.5));
      const manifests = Array.from({ length: platformCount }, (_, platform) => {
        const own = layers(1 + random.below(4), 3 * MIB, 1.9);
        const config = add('config', random.logNormal(6 * KIB, 0.5));
        const lists = [config, ...(built[platform] ?? []), ...(dependencies[platform] ?? []), ...own];
        return add('manifest', 1.5 * KIB, lists);
      });
      const index = platformCount > 1 ? [add('index', 2 * KIB, manifests)] : [];
      const platforms = manifests.map((manifest) => index.concat(manifest, items[manifest]?.lists ?? []));
      return { publishedAt, platforms };
    });
  };
  return { repositories: Array.from({ length: REPOSITORIES }, repository), items };
}
