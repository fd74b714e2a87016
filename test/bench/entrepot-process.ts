import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePorts, ServerProcess } from './server-process.ts';

export interface EntrepotOptions {
  /** An existing directory of its own: data, configuration and log. */
  readonly dir: string;
  readonly upstreamUrl: string;
  /** As the configuration has it. Default: the program's. */
  readonly cache?: Readonly<Record<string, unknown>>;
  /** What it must have answered to count as started. Default: the API's base. */
  readonly readyPath?: string;
}

export interface EntrepotProcess {
  readonly process: ServerProcess;
  /** Without a slash at the end. */
  readonly url: string;
  readonly adminUrl: string;
  /** The directory it was given. */
  readonly dir: string;
}

/** The built program with its defaults and its usual log, in front of one upstream, on free ports. */
export async function startEntrepot(options: EntrepotOptions): Promise<EntrepotProcess> {
  const { dir, upstreamUrl, cache, readyPath = '/v2/' } = options;
  const [port = 0, adminPort = 0] = await freePorts(2);
  const config = {
    listen: `127.0.0.1:${port}`,
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
  return { process: server, url, dir, adminUrl: `http://127.0.0.1:${adminPort}` };
}
