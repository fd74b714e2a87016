import { type Image, type Item, makeCatalogue } from './catalogue.ts';
import { Random, Zipf } from './random.ts';

/** One client asks for one image. */
export interface Pull {
  readonly at: number;
  /** What the tag means: an index or a manifest, asked for by HEAD first. */
  readonly root: number;
  /** What it asks for by GET: nothing when it only looks whether the tag has moved. */
  readonly requests: readonly number[];
}

export interface Trace {
  readonly items: readonly Item[];
  readonly pulls: readonly Pull[];
  /** Of everything that is asked for at least once. */
  readonly footprintBytes: number;
}

export interface TraceOptions {
  readonly seed: number;
  /** How often somebody pulls, or looks. */
  readonly events: number;
  readonly days: number;
  /** Whether a job pulls SCAN_IMAGES images once each, every week. */
  readonly scans: boolean;
}

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
const REPOSITORY_EXPONENT = 0.9;
/** Clients that keep what they pulled for a while; the others (CI) begin with nothing. */
const NODES = 60;
const NODE_KEEPS_MS = 10 * DAY_MS;
const FRESH_CLIENT = 0.4;
/** `imagePullPolicy: Always` on something that starts again. */
const ONLY_LOOKS = 0.3;
const ROLL_OUT = { chance: 0.04, nodes: 8, withinMs: 3 * MINUTE_MS };
const SECOND_PLATFORM = 0.15;
const NEWEST_VERSION = 0.6;
const ANY_VERSION = 0.07;
const SCAN = { everyDays: 7, images: 300, lastsMs: 2 * 60 * MINUTE_MS };
/** Popularity drifts: so many repositories change places every day. */
const SWAPS_A_DAY = 6;

/**
 * Pulls of 2,000 images: Zipf popularity of repositories that drifts, new tags that take over from old ones, clients that
 * hold some layers already, roll-outs to many nodes at once, and scans.
 */
export function makeTrace(options: TraceOptions): Trace {
  const random = new Random(options.seed);
  const durationMs = options.days * DAY_MS;
  const { items, repositories } = makeCatalogue(random, durationMs);
  const order = repositories.map((_, number) => number);
  const popularity = new Zipf(order.length, REPOSITORY_EXPONENT);
  const nodes = Array.from({ length: NODES }, () => new Map<number, number>());
  const pulls: Pull[] = [];

  const request = (image: Image, at: number, held?: Map<number, number>) => {
    const platform = held === undefined && random.chance(SECOND_PLATFORM) ? 1 : 0;
    const wanted = image.platforms[platform] ?? image.platforms[0] ?? [];
    const requests = wanted.filter((item) => at - (held?.get(item) ?? -Infinity) > NODE_KEEPS_MS);
    for (const item of wanted) held?.set(item, at);
    pulls.push({ at, root: wanted[0] ?? 0, requests });
  };
  const anyNode = () => nodes[random.below(NODES)];
  const event = (at: number) => {
    const image = pickVersion(random, repositories[order[popularity.pick(random)] ?? 0] ?? [], at);
    if (image === undefined) return;
    if (random.chance(ROLL_OUT.chance)) {
      for (let node = 0; node < ROLL_OUT.nodes; node += 1)
        request(image, at + random.next() * ROLL_OUT.withinMs, anyNode());
    } else if (random.chance(ONLY_LOOKS)) {
      pulls.push({ at, root: image.platforms[0]?.[0] ?? 0, requests: [] });
    } else request(image, at, random.chance(FRESH_CLIENT) ? undefined : anyNode());
  };

  const meanMs = durationMs / options.events;
  let day = 0;
  for (let at = random.exponential(meanMs); at < durationMs; at += random.exponential(meanMs)) {
    for (; day < at / DAY_MS; day += 1) {
      for (let swap = 0; swap < SWAPS_A_DAY; swap += 1) swapPlaces(order, random);
      if (options.scans && day % SCAN.everyDays === 3) {
        const published = repositories.flat().filter(({ publishedAt }) => publishedAt <= at);
        for (let number = 0; number < SCAN.images; number += 1) {
          const image = published[random.below(published.length)];
          if (image) request(image, at + random.next() * SCAN.lastsMs);
        }
      }
    }
    event(at);
  }
  pulls.sort((a, b) => a.at - b.at);
  const asked = new Set(pulls.flatMap(({ requests }) => requests));
  const footprintBytes = [...asked].reduce((sum, item) => sum + (items[item]?.sizeBytes ?? 0), 0);
  return { items, pulls, footprintBytes };
}

function pickVersion(random: Random, versions: readonly Image[], at: number): Image | undefined {
  const published = versions.filter(({ publishedAt }) => publishedAt <= at);
  if (random.chance(ANY_VERSION)) return published[random.below(published.length)];
  let back = 0;
  while (!random.chance(NEWEST_VERSION) && back < published.length - 1) back += 1;
  return published.at(-1 - back);
}

function swapPlaces(order: number[], random: Random): void {
  const [a, b] = [random.below(order.length), random.below(order.length)];
  [order[a], order[b]] = [order[b] ?? 0, order[a] ?? 0];
}
