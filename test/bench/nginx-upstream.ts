import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type ByteSource, bytesSource, sourcePieces } from '../support/byte-source.ts';
import { generatedBlob } from '../support/generated-blob.ts';
import { freePorts, ServerProcess } from './server-process.ts';

/** The fast upstream: nginx over a tree of files, saying what registries' clients and docker-registry's proxy need. */

export const REPOSITORY = 'bench/image';
export const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json';

export interface UpstreamContent {
  readonly digest: string;
  readonly sizeBytes: number;
  /** Below the URL of any server that serves it. */
  readonly path: string;
  /** In the upstream's tree. */
  readonly file: string;
  /** What is in it. */
  readonly source: ByteSource;
}

/** What a client pulls: the manifest by tag or by digest, its config, its layers. */
export interface UpstreamImage {
  /** Of the manifest by tag, below the URL of any server that serves it. */
  readonly tagPath: string;
  readonly manifest: UpstreamContent;
  readonly config: UpstreamContent;
  readonly layers: readonly UpstreamContent[];
  /** Manifest, config and layers. */
  readonly contents: readonly UpstreamContent[];
  /** Of all of it. */
  readonly sizeBytes: number;
}

export interface Transfers {
  readonly requests: number;
  readonly bodyBytes: number;
}

const LOG_LIMIT_MS = 3000;
/** After the line that was waited for: so that a second transfer, were there one, is seen too. */
const LOG_SETTLE_MS = 200;

export class NginxUpstream {
  readonly url: string;
  /** The same content; no connection gets more than 100 MB/s. */
  readonly limitedUrl: string;
  /** No connection gets more than 20 MB/s. */
  readonly cappedUrl: string;
  readonly #dir: string;
  readonly #process: ServerProcess;
  #seed = 1;

  private constructor(dir: string, server: ServerProcess, ports: readonly number[]) {
    this.#dir = dir;
    this.#process = server;
    this.url = `http://127.0.0.1:${ports[0]}`;
    this.limitedUrl = `http://127.0.0.1:${ports[1]}`;
    this.cappedUrl = `http://127.0.0.1:${ports[2]}`;
  }

  /** `dir`: an empty directory, best in memory. */
  static async start(nginx: string, dir: string): Promise<NginxUpstream> {
    const ports = await freePorts(3);
    for (const name of ['blobs', 'manifests', 'tmp']) await mkdir(join(dir, name));
    const config = join(dir, 'nginx.conf');
    await writeFile(config, configuration(dir, ports));
    const server = await ServerProcess.start({
      file: nginx,
      args: ['-p', dir, '-c', config, '-e', join(dir, 'error.log')],
      logFile: join(dir, 'log'),
      readyUrl: `http://127.0.0.1:${ports[0]}/v2/`,
    });
    return new NginxUpstream(dir, server, ports);
  }

  /** A blob like no other. */
  async addBlob(sizeBytes: number): Promise<UpstreamContent> {
    for (;;) {
      this.#seed += 1;
      const added = await this.#addGenerated(generatedBlob({ size: sizeBytes, seed: this.#seed }));
      // Of thousands of small ones two may be the same.
      if (added) return added;
    }
  }

  async #addGenerated(source: ByteSource): Promise<UpstreamContent | undefined> {
    const hash = createHash('sha256');
    const partial = join(this.#dir, 'tmp', 'blob');
    const file = await open(partial, 'w');
    try {
      for (const piece of sourcePieces(source)) {
        hash.update(piece);
        await file.write(piece);
      }
    } finally {
      await file.close();
    }
    const hex = hash.digest('hex');
    if (existsSync(join(this.#dir, 'blobs', hex))) return undefined;
    return this.#place('blobs', hex, { source, partial });
  }

  /** The manifest of an image of ten layers, which are nowhere: it is only to be fetched by digest. */
  async addManifest(): Promise<UpstreamContent> {
    this.#seed += 1;
    const descriptor = (number: number, mediaType: string): Record<string, unknown> => ({
      mediaType: `application/vnd.oci.image.${mediaType}`,
      digest: `sha256:${createHash('sha256').update(`${this.#seed}/${number}`).digest('hex')}`,
      size: 1_000_000 + number,
    });
    const document = {
      schemaVersion: 2,
      mediaType: MANIFEST_TYPE,
      config: descriptor(0, 'config.v1+json'),
      layers: Array.from({ length: 10 }, (_, number) => descriptor(number + 1, 'layer.v1.tar+gzip')),
    };
    return this.#addDocument('manifests', document);
  }

  /** An image like no other, with layers of these sizes. */
  async addImage(layerBytes: readonly number[]): Promise<UpstreamImage> {
    const layers: UpstreamContent[] = [];
    for (const sizeBytes of layerBytes) layers.push(await this.addBlob(sizeBytes));
    this.#seed += 1;
    const config = await this.#addDocument('blobs', {
      created: new Date(this.#seed * 1000).toISOString(),
      architecture: 'amd64',
      os: 'linux',
      config: { Env: [`SEED=${this.#seed}`], Cmd: ['/bin/true'] },
      rootfs: { type: 'layers', diff_ids: layers.map(({ digest }) => digest) },
    });
    const descriptor = ({ digest, sizeBytes }: UpstreamContent, mediaType: string) => ({
      mediaType: `application/vnd.oci.image.${mediaType}`,
      digest,
      size: sizeBytes,
    });
    const manifest = await this.#addDocument('manifests', {
      schemaVersion: 2,
      mediaType: MANIFEST_TYPE,
      config: descriptor(config, 'config.v1+json'),
      layers: layers.map((layer) => descriptor(layer, 'layer.v1.tar+gzip')),
    });
    const contents = [manifest, config, ...layers];
    return {
      tagPath: tagPathOf(manifest.digest),
      manifest,
      config,
      layers,
      contents,
      sizeBytes: contents.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    };
  }

  async remove({ file }: UpstreamContent): Promise<void> {
    await rm(file);
  }

  async removeImage({ contents }: UpstreamImage): Promise<void> {
    for (const content of contents) await this.remove(content);
  }

  /** Where the record of transfers ends now, for `transfersSince`. */
  async mark(): Promise<number> {
    return (await stat(join(this.#dir, 'access.log'))).size;
  }

  /** What was sent since then and has ended, of these or of everything; manifests by tag count as such, too. */
  async transfersSince(mark: number, contents?: readonly UpstreamContent[]): Promise<Transfers> {
    const text = (await readFile(join(this.#dir, 'access.log'))).subarray(mark).toString('latin1');
    return transfersIn(text, contents && new Set(contents.flatMap(pathsOf)));
  }

  /** What was sent of one blob or manifest so far, or of all; waits until at least `requests` have ended. */
  async transfers(content?: UpstreamContent, requests = 0): Promise<Transfers> {
    const deadline = performance.now() + LOG_LIMIT_MS;
    let found = await this.#logged(content);
    while (found.requests < requests && performance.now() < deadline) {
      await delay(20);
      found = await this.#logged(content);
    }
    await delay(LOG_SETTLE_MS);
    return this.#logged(content);
  }

  async stop(): Promise<void> {
    await this.#process.stop();
  }

  async #logged(content?: UpstreamContent): Promise<Transfers> {
    const text = await readFile(join(this.#dir, 'access.log'), 'utf8');
    return transfersIn(text, content && new Set([content.path]));
  }

  async #addDocument(kind: 'blobs' | 'manifests', document: unknown): Promise<UpstreamContent> {
    const text = JSON.stringify(document, undefined, 2);
    const partial = join(this.#dir, 'tmp', 'document');
    await writeFile(partial, text);
    const hex = createHash('sha256').update(text).digest('hex');
    return this.#place(kind, hex, { source: bytesSource(Buffer.from(text)), partial });
  }

  async #place(
    kind: 'blobs' | 'manifests',
    hex: string,
    { source, partial }: { readonly source: ByteSource; readonly partial: string },
  ): Promise<UpstreamContent> {
    const file = join(this.#dir, kind, hex);
    await rename(partial, file);
    const digest = `sha256:${hex}`;
    return { digest, source, sizeBytes: source.size, file, path: `/v2/${REPOSITORY}/${kind}/${digest}` };
  }
}

function pathsOf({ path, digest }: UpstreamContent): readonly string[] {
  return path.includes('/manifests/') ? [path, tagPathOf(digest)] : [path];
}

/** Its tag tells its digest, so that nginx can answer with it. */
function tagPathOf(digest: string): string {
  return `/v2/${REPOSITORY}/manifests/${digest.replace('sha256:', 'of-')}`;
}

/** In lines of the log; of these paths alone where they are given. Neither a HEAD is a transfer, nor the API's base. */
function transfersIn(text: string, paths?: ReadonlySet<string>): Transfers {
  const transfers = text
    .split('\n')
    .map((line) => line.split(' '))
    .filter(([method, , , path = '']) => method === 'GET' && (paths?.has(path) ?? path !== '/v2/'));
  return {
    requests: transfers.length,
    bodyBytes: transfers.reduce((sum, [, , bytes]) => sum + Number(bytes), 0),
  };
}

function configuration(dir: string, [port, limitedPort, cappedPort]: readonly number[]): string {
  const locations = `
    add_header Docker-Distribution-API-Version registry/2.0;
    location = /v2/ { default_type application/json; return 200 '{}'; }
    location ~ "^/v2/${REPOSITORY}/blobs/sha256:(?<hex>[0-9a-f]{64})$" {
      default_type application/octet-stream;
      add_header Docker-Content-Digest sha256:$hex;
      alias ${dir}/blobs/$hex;
    }
    location ~ "^/v2/${REPOSITORY}/manifests/sha256:(?<hex>[0-9a-f]{64})$" {
      default_type ${MANIFEST_TYPE};
      add_header Docker-Content-Digest sha256:$hex;
      alias ${dir}/manifests/$hex;
    }
    location ~ "^/v2/${REPOSITORY}/manifests/of-(?<hex>[0-9a-f]{64})$" {
      default_type ${MANIFEST_TYPE};
      add_header Docker-Content-Digest sha256:$hex;
      alias ${dir}/manifests/$hex;
    }`;
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `${name}_temp_path ${dir}/tmp/${name};`)
    .join('\n  ');
  return `
daemon off;
master_process off;
pid ${dir}/nginx.pid;
events { worker_connections 1024; }
http {
  types { }
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000;
  log_format transfer '$request_method $status $body_bytes_sent $uri';
  access_log ${dir}/access.log transfer;
  ${temporary}
  server { listen 127.0.0.1:${port}; ${locations}
  }
  server {
    listen 127.0.0.1:${limitedPort};
    limit_rate 100000000;
    sendfile_max_chunk 1m; ${locations}
  }
  server {
    listen 127.0.0.1:${cappedPort};
    limit_rate 20000000;
    sendfile_max_chunk 1m; ${locations}
  }
}
`;
}
