import { addTraffic, noTraffic, type Traffic } from './traffic.ts';
import { addUpstreamSums, noUpstreamSums, OTHERS, type UpstreamSums, type UsageSums } from './usage-sums.ts';

/** Names of a kind in memory; beyond them the smaller half is counted together. */
const NAME_LIMIT = 50_000;

/** Usage of some days, summed up: what a report is made of. */
export class UsageRows {
  readonly upstreams = new Map<string, UpstreamSums>();
  /** By `UPSTREAM/REPOSITORY`, or `UPSTREAM/` for those that are counted together. */
  readonly images = new Map<string, Traffic>();
  readonly clients = new Map<string, Traffic>();

  addUpstream(name: string, sums: Readonly<UpstreamSums>): void {
    addUpstreamSums(entry(this.upstreams, name, noUpstreamSums), sums);
  }

  addImage(name: string, traffic: Readonly<Traffic>): void {
    addTraffic(entry(this.images, name, noTraffic), traffic);
    if (this.images.size > NAME_LIMIT) gather(this.images, (image) => image.slice(0, image.indexOf('/') + 1));
  }

  addClient(name: string, traffic: Readonly<Traffic>): void {
    addTraffic(entry(this.clients, name, noTraffic), traffic);
    if (this.clients.size > NAME_LIMIT) gather(this.clients, () => OTHERS);
  }

  addSums({ upstreams, images, clients }: UsageSums): void {
    for (const [name, sums] of upstreams) this.addUpstream(name, sums);
    for (const [upstream, repositories] of images)
      for (const [repository, traffic] of repositories) this.addImage(`${upstream}/${repository}`, traffic);
    for (const [name, traffic] of clients) this.addClient(name, traffic);
  }
}

function entry<T>(map: Map<string, T>, name: string, make: () => T): T {
  const known = map.get(name);
  if (known !== undefined) return known;
  const made = make();
  map.set(name, made);
  return made;
}

function gather(rows: Map<string, Traffic>, othersOf: (name: string) => string): void {
  const all = [...rows].toSorted(([, a], [, b]) => b.bytes - a.bytes || b.requests - a.requests);
  for (const [name, traffic] of all.slice(NAME_LIMIT / 2)) {
    const others = othersOf(name);
    if (others === name) continue;
    rows.delete(name);
    addTraffic(entry(rows, others, noTraffic), traffic);
  }
}
