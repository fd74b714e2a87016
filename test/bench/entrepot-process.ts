import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePorts, ServerProcess } from './server-process.ts';

export interface EntrepotOptions {
  /** An existing directory of its own: data, configuration and log. */
  readonly dir: string;
  readonly upstreamUrl: string;
  /** As the configuration has it. Default: the program's. */
  readonly cache?: Readonly<Record<string, unknown>>;
  /** Processes that speak with clients. Default: the program's. */
  readonly workers?: number;
  /** PEM files: a second listener speaks TLS with them. Default: there is none. */
  readonly tls?: { readonly cert: string; readonly key: string };
  /** What it must have answered to count as started. Default: the API's base. */
  readonly readyPath?: string;
}

export interface EntrepotProcess {
  readonly process: ServerProcess;
  /** Without a slash at the end. */
  readonly url: string;
  /** Of the listener that speaks TLS; empty where there is none. */
  readonly secureUrl: string;
  readonly adminUrl: string;
  /** The directory it was given. */
  readonly dir: string;
}

/** The built program with its defaults and its usual log, in front of one upstream, on free ports. */
export async function startEntrepot(options: EntrepotOptions): Promise<EntrepotProcess> {
  const { dir, upstreamUrl, cache, workers, tls, readyPath = '/v2/' } = options;
  const [port = 0, adminPort = 0, securePort = 0] = await freePorts(3);
  const address = `127.0.0.1:${port}`;
  const config = {
    listen: tls === undefined ? address : [address, { address: `127.0.0.1:${securePort}`, tls }],
    ...(workers !== undefined && { workers }),
    admin: { listen: `127.0.0.1:${adminPort}` },
    dataDir: join(dir, 'data'),
    ...(cache && { cache }),
    upstreams: { 'registry.example': { url: upstreamUrl, default: true } },
  };
  const file = join(dir, 'config.yaml');
  // JSON is YAML.
  await writeFile(file, JSON.stringify(config, undefined, 2));
  const url = `http://127.0.0.1:${port}`;
  const server = await ServerProcess.start({
    file: process.execPath,
    args: ['dist/entry.cjs', 'serve', '--config', file],
    logFile: join(dir, 'log'),
    readyUrl: url + readyPath,
  });
  const secureUrl = tls === undefined ? '' : `https://127.0.0.1:${securePort}`;
  return { process: server, url, secureUrl, dir, adminUrl: `http://127.0.0.1:${adminPort}` };
}
