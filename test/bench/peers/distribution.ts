import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { findProgram, versionOf } from '../find-program.ts';
import { freePorts, ServerProcess } from '../server-process.ts';
import { findBuilt } from './built-program.ts';
import type { Peer, PeerOptions, RunningPeer } from './peer.ts';

const SAYS =
  'pull-through proxy on a filesystem, descriptors cached in memory, no access log (in its favour)';

/** distribution 2.8, as Debian has it. */
export const dockerRegistry: Peer = {
  name: 'docker-registry',
  says: SAYS,
  limits: {},
  async find() {
    const file = await findProgram('docker-registry');
    if (file === undefined) return { missing: 'on Debian: apt-get install docker-registry' };
    return { file, version: await versionOf(file, '--version') };
  },
  start: async (options) => startDistribution('docker-registry', options),
};

/** distribution 3, built by test/bench/programs/build.sh. */
export const distribution3: Peer = {
  name: 'distribution 3',
  says: SAYS,
  limits: {},
  find: async () => findBuilt('registry'),
  start: async (options) => startDistribution('distribution 3', options),
};

async function startDistribution(
  name: string,
  { file, dir, upstreamUrl }: PeerOptions,
): Promise<RunningPeer> {
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
    // It reports traces to a collector unless it is told not to.
    environment: { OTEL_TRACES_EXPORTER: 'none' },
  });
  return { name, process: server, url, dir };
}
