import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePorts, ServerProcess } from '../server-process.ts';
import { findBuilt } from './built-program.ts';
import type { Peer } from './peer.ts';

/** zot with on-demand sync, built by test/bench/programs/build.sh. */
export const zot: Peer = {
  name: 'zot',
  says: 'on-demand sync from one registry, its default storage, errors alone in its log (in its favour)',
  limits: {
    'a cold blob without its image':
      'it fetches images as a whole when a manifest is asked for, and no blob alone',
  },
  find: async () => findBuilt('zot'),
  async start({ file, dir, upstreamUrl }) {
    const [port = 0] = await freePorts(1);
    await mkdir(join(dir, 'data'));
    const config = {
      distSpecVersion: '1.1.1',
      storage: { rootDirectory: join(dir, 'data') },
      http: { address: '127.0.0.1', port: String(port) },
      log: { level: 'error', output: join(dir, 'zot.log') },
      extensions: {
        sync: {
          enable: true,
          registries: [
            { urls: [upstreamUrl], onDemand: true, tlsVerify: false, content: [{ prefix: '**' }] },
          ],
        },
      },
    };
    const configFile = join(dir, 'config.json');
    await writeFile(configFile, JSON.stringify(config, undefined, 2));
    const url = `http://127.0.0.1:${port}`;
    const server = await ServerProcess.start({
      file,
      args: ['serve', configFile],
      logFile: join(dir, 'log'),
      readyUrl: `${url}/v2/`,
    });
    return { name: 'zot', process: server, url, dir };
  },
};
