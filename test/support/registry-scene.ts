import { DockerRegistryProcess } from './docker-registry-process.ts';
import { EntrepotProcess } from './entrepot-process.ts';
import type { BuiltImage } from './images.ts';

/** `docker.io` → `library/sample:v1` → what is there. */
export type RegistryContents = Readonly<Record<string, Readonly<Record<string, BuiltImage>>>>;

/** Entrepot as a process, and behind it a real registry for each name that its clients know. Ends with the test. */
export class RegistryScene {
  readonly entrepot: EntrepotProcess;
  readonly #upstreams: ReadonlyMap<string, DockerRegistryProcess>;

  private constructor(entrepot: EntrepotProcess, upstreams: ReadonlyMap<string, DockerRegistryProcess>) {
    this.entrepot = entrepot;
    this.#upstreams = upstreams;
  }

  /** The first registry is the default one. `config` is put over the rest of entrepot's configuration. */
  static async start(
    registries: RegistryContents,
    config: Readonly<Record<string, unknown>> = {},
  ): Promise<RegistryScene> {
    const upstreams = new Map<string, DockerRegistryProcess>();
    const configured: Record<string, unknown> = {};
    for (const [name, images] of Object.entries(registries)) {
      const upstream = await DockerRegistryProcess.start();
      for (const [place, image] of Object.entries(images)) {
        const colon = place.lastIndexOf(':');
        await upstream.push(place.slice(0, colon), place.slice(colon + 1), image);
      }
      upstream.forget();
      configured[name] = { url: upstream.url, ...(upstreams.size === 0 && { default: true }) };
      upstreams.set(name, upstream);
    }
    const entrepot = await EntrepotProcess.start({ config: { upstreams: configured, ...config } });
    return new RegistryScene(entrepot, upstreams);
  }

  upstream(name: string): DockerRegistryProcess {
    const upstream = this.#upstreams.get(name);
    if (!upstream) throw new Error(`no registry ${name} in this scene`);
    return upstream;
  }
}
