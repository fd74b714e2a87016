import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { BuiltContent, BuiltImage } from './images.ts';
import { ChildProgram } from './child-program.ts';
import { programPath } from './programs.ts';
import { tempDir } from './temp-dir.ts';

/** A line of its access log. */
export interface RegistryAccess {
  readonly method: string;
  /** With the query. */
  readonly target: string;
  readonly status: number;
}

const MANIFEST_KINDS = /\/manifests\/[^/]+$/;
const BLOB = /\/blobs\/(sha256:[0-9a-f]{64})$/;

/** A real docker-registry with storage of its own. Ends with the test. */
export class DockerRegistryProcess {
  readonly #storage: string;
  #program: ChildProgram;
  #port: number;
  #forgotten = 0;

  private constructor(storage: string, program: ChildProgram, port: number) {
    this.#storage = storage;
    this.#program = program;
    this.#port = port;
  }

  static async start(): Promise<DockerRegistryProcess> {
    const storage = await tempDir();
    const { program, port } = await listen(storage, 0);
    const registry = new DockerRegistryProcess(storage, program, port);
    onTestFinished(() => registry.stop());
    return registry;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** What it was asked since `forget`. Lines are written when an answer is over. */
  get accesses(): readonly RegistryAccess[] {
    return accessesIn(this.#program.stdout).slice(this.#forgotten);
  }

  get manifestGets(): readonly RegistryAccess[] {
    return this.accesses.filter(({ method, target }) => method === 'GET' && MANIFEST_KINDS.test(target));
  }

  /** How often each blob was fetched. */
  get blobGets(): ReadonlyMap<string, number> {
    const counts = new Map<string, number>();
    for (const { method, target } of this.accesses) {
      const digest = method === 'GET' ? BLOB.exec(target)?.[1] : undefined;
      if (digest !== undefined) counts.set(digest, (counts.get(digest) ?? 0) + 1);
    }
    return counts;
  }

  forget(): void {
    this.#forgotten = accessesIn(this.#program.stdout).length;
  }

  async push(repository: string, tag: string, image: BuiltImage): Promise<void> {
    for (const blob of image.blobs) await this.#pushBlob(repository, blob);
    for (const manifest of image.manifests) await this.#pushManifest(repository, manifest.digest, manifest);
    await this.#pushManifest(repository, tag, image.root);
  }

  async stop(): Promise<void> {
    await this.#program.stop();
  }

  /** On the same port with the same storage; what it was asked before is forgotten. */
  async restart(): Promise<void> {
    await this.stop();
    const { program, port } = await listen(this.#storage, this.#port);
    this.#program = program;
    this.#port = port;
    this.#forgotten = 0;
  }

  async #pushBlob(repository: string, { digest, bytes }: BuiltContent): Promise<void> {
    const begun = await fetch(`${this.url}/v2/${repository}/blobs/uploads/`, { method: 'POST' });
    const place = new URL(begun.headers.get('location') ?? '', this.url);
    place.searchParams.set('digest', digest);
    const headers = { 'content-type': 'application/octet-stream' };
    await created(await fetch(place, { method: 'PUT', headers, body: new Uint8Array(bytes) }));
  }

  async #pushManifest(
    repository: string,
    reference: string,
    { mediaType, bytes }: BuiltContent,
  ): Promise<void> {
    const place = `${this.url}/v2/${repository}/manifests/${reference}`;
    const headers = { 'content-type': mediaType };
    await created(await fetch(place, { method: 'PUT', headers, body: new Uint8Array(bytes) }));
  }
}

async function listen(
  storage: string,
  wantedPort: number,
): Promise<{ readonly program: ChildProgram; readonly port: number }> {
  const file = join(storage, 'config.yml');
  const config = {
    version: '0.1',
    log: { level: 'info', formatter: 'text' },
    storage: { filesystem: { rootdirectory: join(storage, 'registry') } },
    http: { addr: `127.0.0.1:${wantedPort}` },
  };
  // JSON is YAML.
  await writeFile(file, JSON.stringify(config));
  const program = new ChildProgram(programPath('docker-registry'), ['serve', file]);
  const port = await program.until(
    () => /listening on 127\.0\.0\.1:(\d+)/.exec(program.output)?.[1],
    'line that it listens',
  );
  return { program, port: Number(port) };
}

async function created(response: Response): Promise<void> {
  const text = await response.text();
  if (response.status !== 201) throw new Error(`${response.url}: ${response.status} ${text}`);
}

function accessesIn(text: string): readonly RegistryAccess[] {
  return [...text.matchAll(/"(?<method>[A-Z]+) (?<target>\S+) HTTP\/1\.1" (?<status>\d{3}) /g)].map(
    ({ groups = {} }) => ({
      method: groups['method'] ?? '',
      target: groups['target'] ?? '',
      status: Number(groups['status']),
    }),
  );
}
