import { existsSync } from 'node:fs';
import { copyFile, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { parse } from 'yaml';
import { loadConfig } from '../../src/config.ts';
import { runProgram, succeed } from '../support/child-program.ts';
import { describeWith, programPath } from '../support/programs.ts';
import { tempDir } from '../support/temp-dir.ts';

const COMPOSE = join(import.meta.dirname, '..', '..', 'deploy', 'compose');
const TOKEN_FILE = '/run/secrets/entrepot-admin-token';

interface Service {
  readonly image: string;
  readonly command?: readonly string[];
  readonly read_only?: boolean;
  readonly cap_drop?: readonly string[];
  readonly security_opt?: readonly string[];
  readonly ports: readonly string[];
  readonly stop_grace_period?: string;
  readonly volumes: readonly (string | { readonly source: string; readonly target: string })[];
  readonly secrets?: readonly { readonly source: string }[];
}

interface Project {
  readonly services: Readonly<Record<string, Service>>;
  readonly secrets: Readonly<Record<string, { readonly file: string }>>;
}

interface Mount {
  readonly source: string;
  readonly target: string;
}

/** `docker-compose config`: what it makes of the files, once it has nothing against them. */
async function project(
  files: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<Project> {
  const options = files.map((file) => `--file=${file}`);
  const text = await succeed(programPath('docker-compose'), [...options, 'config'], {
    workingDir: COMPOSE,
    environment: { PATH: process.env['PATH'], ...environment },
  });
  return parse(text) as Project;
}

async function services(...args: Parameters<typeof project>): Promise<Project['services']> {
  return (await project(...args)).services;
}

/** Its volumes; a secret is mounted by its name. */
function mountsOf({ volumes, secrets = [] }: Service): readonly Mount[] {
  return [
    ...volumes.map((volume) => {
      if (typeof volume !== 'string') return volume;
      const [source = '', target = ''] = volume.split(':');
      return { source, target };
    }),
    ...secrets.map(({ source }) => ({ source, target: `/run/secrets/${source}` })),
  ];
}

const ALL = ['compose.yaml', 'monitoring.yaml'];

describeWith({ programs: ['docker-compose'] }, 'the compose files', () => {
  it('have entrepot alone, read-only, without rights, at this machine’s own address unless another is asked for', async () => {
    const { entrepot, ...others } = await services(['compose.yaml']);
    expect(others).toEqual({});
    expect(entrepot).toMatchObject({
      read_only: true,
      cap_drop: ['ALL'],
      security_opt: ['no-new-privileges:true'],
      stop_grace_period: '45s',
      ports: ['127.0.0.1:5000:5000/tcp', '127.0.0.1:5001:5001/tcp'],
    });
    const wide = await services(['compose.yaml'], { CACHE_BIND: '0.0.0.0' });
    expect(wide['entrepot']?.ports).toEqual(['0.0.0.0:5000:5000/tcp', '127.0.0.1:5001:5001/tcp']);
  });

  it('have Prometheus and Grafana beside it, which take a password and keep to this machine', async () => {
    await expect(services(ALL)).rejects.toThrow('choose a password');
    const all = await services(ALL, { GRAFANA_PASSWORD: 'x' });
    expect(Object.keys(all).toSorted()).toEqual(['entrepot', 'grafana', 'prometheus']);
    for (const { cap_drop, ports, image } of Object.values(all)) {
      expect(cap_drop).toEqual(['ALL']);
      for (const port of ports) expect(port).toMatch(/^127\.0\.0\.1:/);
      expect(image).toMatch(/:v?\d+\.\d+\.\d+$/);
    }
  });

  it('mount only what is here; the token, which has to be made, as a secret, of which Docker makes no directory', async () => {
    const all = await project(ALL, { GRAFANA_PASSWORD: 'x' });
    const sources = Object.values(all.services)
      .flatMap(mountsOf)
      .map(({ source }) => source)
      .filter((source) => source.startsWith('/'));
    expect(sources.length).toBeGreaterThan(5);
    expect(sources.filter((source) => !existsSync(source))).toEqual([]);
    expect(all.secrets).toEqual({ 'entrepot-admin-token': { file: join(COMPOSE, 'admin-token') } });
  });

  it('have a page that makes the token readable for those who read it', async () => {
    const text = await readFile(join(COMPOSE, '..', 'docker.md'), 'utf8');
    const makers = text.split('\n').filter((line) => line.includes('> admin-token'));
    expect(makers.length).toBe(1);
    const directory = await tempDir();
    for (const maker of makers) {
      await succeed('/bin/sh', ['-c', `umask 077; ${maker}`], { workingDir: directory });
      expect((await stat(join(directory, 'admin-token'))).mode & 0o777).toBe(0o644);
      expect(await readFile(join(directory, 'admin-token'), 'utf8')).toMatch(/^\S{32}\n$/);
    }
  });

  it('have a configuration that entrepot takes, with the token that Prometheus shows', async () => {
    const directory = await tempDir();
    await writeFile(join(directory, 'token'), 'x\n');
    const text = await readFile(join(COMPOSE, 'config.yaml'), 'utf8');
    const file = join(directory, 'config.yaml');
    await writeFile(file, text.replace(TOKEN_FILE, join(directory, 'token')));
    const config = loadConfig({ file, environment: {}, workingDir: '/' });
    expect(config).toMatchObject({
      listeners: [{ host: '0.0.0.0', port: 5000 }],
      admin: { listen: { port: 5001 }, token: 'x' },
      dataDir: '/var/lib/entrepot',
    });
    const { entrepot, prometheus } = await services(ALL, { GRAFANA_PASSWORD: 'x' });
    for (const service of [entrepot, prometheus])
      expect(service && mountsOf(service).map(({ target }) => target)).toContain(TOKEN_FILE);
  });
});

describeWith({ programs: ['docker-compose'] }, 'the .env of the page', () => {
  it('has every further command be for all three, the last one too', async () => {
    const text = await readFile(join(COMPOSE, '..', 'docker.md'), 'utf8');
    const maker = text.split('\n').find((line) => line.endsWith('> .env'));
    expect.assert(maker !== undefined);
    const directory = await tempDir();
    for (const name of ALL) await copyFile(join(COMPOSE, name), join(directory, name));
    await succeed('/bin/sh', ['-c', maker], { workingDir: directory });
    const names = await succeed(programPath('docker-compose'), ['config', '--services'], {
      workingDir: directory,
      environment: { PATH: process.env['PATH'] },
    });
    expect(names.trim().split('\n').toSorted()).toEqual(['entrepot', 'grafana', 'prometheus']);
  });
});

describeWith({ programs: ['promtool', 'docker-compose'] }, 'the Prometheus of the compose files', () => {
  it('has a configuration and rules that Prometheus takes, as they are mounted', async () => {
    const { prometheus } = await services(ALL, { GRAFANA_PASSWORD: 'x' });
    expect.assert(prometheus !== undefined);
    const root = await tempDir();
    for (const { source, target } of mountsOf(prometheus)) {
      if (!source.startsWith('/') && target !== TOKEN_FILE) continue;
      await mkdir(join(root, target, '..'), { recursive: true });
      if (target === TOKEN_FILE) await writeFile(join(root, target), 'x');
      else await copyFile(source, join(root, target));
    }
    const file = join(root, 'etc/prometheus/prometheus.yml');
    expect(prometheus.command).toContain('--config.file=/etc/prometheus/prometheus.yml');
    const text = await readFile(file, 'utf8');
    await writeFile(file, text.replaceAll(/(?<= )\/(?=etc|run)/g, `${root}/`));
    const { code, stdout, stderr } = await runProgram(programPath('promtool'), ['check', 'config', file]);
    expect(code, stderr).toBe(0);
    expect(stdout).toContain('2 rule files found');
  });
});
