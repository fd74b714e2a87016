import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePorts, ServerProcess } from './server-process.ts';

/** docker-registry (distribution 2.8) as a pull-through proxy: the peer. */

export interface DockerRegistry {
  readonly process: ServerProcess;
  readonly url: string;
}

export interface DockerRegistryOptions {
  /** The program. */
  readonly file: string;
  /** An existing, empty directory of its own. */
  readonly dir: string;
  readonly upstreamUrl: string;
}

/** As Debian's configuration has it, but with no access log, which is in its favour. */
export async function startDockerRegistry(options: DockerRegistryOptions): Promise<DockerRegistry> {
  const { file, dir, upstreamUrl } = options;
  const [port = 0] = await freePorts(1);
  await mkdir(join(dir, 'data'));
  const config = {
    version: 0.1,
    log: { level: 'error', accesslog: { disabled: true } },
    storage: {
      cache: { blobdescriptor: 'inmemory' },
      filesystem: { rootdirectory: join(dir, 'data') },
    },
    http: { addr: `127.0.0.1:${port}` },
    proxy: { remoteurl: upstreamUrl },
  };
  const configFile = join(dir, 'config.yml');
  await writeFile(configFile, JSON.stringify(config, undefined, 2));
  const url = `http://127.0.0.1:${port}`;
  const server = await ServerProcess.start({
    file,
    args: ['serve', configFile],
    logFile: join(dir, 'log'),
    readyUrl: `${url}/v2/`,
  });
  return { process: server, url };
}
