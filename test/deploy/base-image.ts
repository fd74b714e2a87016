import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { succeed } from '../support/child-program.ts';
import type { DockerDaemon } from '../support/docker-daemon.ts';

const DOCKERFILE = join(import.meta.dirname, '..', '..', 'deploy', 'Dockerfile');
const MAKING_LIMIT_MS = 8 * 60_000;
const IMPORT_LIMIT_MS = 3 * 60_000;

/** Gives the daemon what `FROM` of the Dockerfile names, as it cannot be pulled here: Debian with npm's Node.js. */
export async function importBaseImages(daemon: DockerDaemon): Promise<void> {
  const script = join(import.meta.dirname, 'base-image', 'build.sh');
  const directory = (await succeed(script, [], { limitMs: MAKING_LIMIT_MS })).trim();
  const text = await readFile(DOCKERFILE, 'utf8');
  const setting = (name: string) => new RegExp(`^ARG ${name}=(.+)$`, 'm').exec(text)?.[1] ?? '';
  const tag = `node:${setting('NODE_VERSION')}-${setting('DEBIAN_RELEASE')}`;
  const images = { 'slim.tar': `${tag}-slim`, 'toolchain.tar': tag };
  for (const [file, name] of Object.entries(images))
    await daemon.command(['import', join(directory, file), name], { limitMs: IMPORT_LIMIT_MS });
}

/** What tells npm in the build how this machine reaches packages: lines of an npmrc, and a file of authorities. */
export async function npmSettings(): Promise<{ readonly lines: readonly string[]; readonly ca?: string }> {
  const said: unknown = JSON.parse(await succeed('npm', ['config', 'list', '--json']));
  const settings = said as Readonly<Record<string, unknown>>;
  const lines = ['registry', 'proxy', 'https-proxy', 'noproxy'].flatMap((key) => {
    const value = settings[key];
    return typeof value === 'string' && value !== '' ? [`${key}=${value}`] : [];
  });
  const ca = settings['cafile'];
  return typeof ca === 'string' && ca !== ''
    ? { lines: [...lines, 'cafile=/run/secrets/ca'], ca }
    : { lines };
}
