import { addTraffic, noTraffic, type Traffic } from './traffic.ts';
import { addUpstreamSums, noUpstreamSums, type UpstreamSums, type UsageSums } from './usage-sums.ts';

/** Usage of some days, summed up: what a report is made of. */
export class UsageRows {
  readonly upstreams = new Map<string, UpstreamSums>();
  /** By `UPSTREAM/REPOSITORY`. */
  readonly images = new Map<string, Traffic>();
  readonly clients = new Map<string, Traffic>();

  addUpstream(name: string, sums: Readonly<UpstreamSums>): void {
    addUpstreamSums(entry(this.upstreams, name, noUpstreamSums), sums);
  }

  addImage(upstream: string, repository: string, traffic: Readonly<Traffic>): void {
    addTraffic(entry(this.images, `${upstream}/${repository}`, noTraffic), traffic);
  }

  addClient(name: string, traffic: Readonly<Traffic>): void {
    addTraffic(entry(this.clients, name, noTraffic), traffic);
  }

  addSums({ upstreams, images, clients }: UsageSums): void {
    for (const [name, sums] of upstreams) this.addUpstream(name, sums);
    for (const [upstream, repositories] of images)
      for (const [repository, traffic] of repositories) this.addImage(upstream, repository, traffic);
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
