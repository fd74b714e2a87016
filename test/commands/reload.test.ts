import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { runProgram } from '../../src/commands/program.ts';
import { fakeProcess } from '../support/fake-process.ts';
import { type FileSettings, type ReloadableApp, startReloadable } from '../support/reloadable-app.ts';

const UPSTREAMS = { 'docker.io': {}, 'quay.io': {} };

/** As who has a file of their own, which says how the server is reached. */
async function run({ app }: ReloadableApp, ...args: readonly string[]) {
  const subject = await fakeProcess({});
  const file = join(subject.io.workingDir, 'config.yaml');
  const settings: FileSettings = { dataDir: app.dataDir, admin: { listen: new URL(app.adminUrl).host } };
  await writeFile(file, JSON.stringify(settings));
  const code = await runProgram(['reload', ...args, '--config', file], { ...subject.io, environment: {} });
  return { code, stdout: subject.stdout(), stderr: subject.stderr() };
}

it('has the running server take its file again, and says what is other', async () => {
  const scene = await startReloadable({ upstreams: UPSTREAMS });
  expect(await run(scene)).toEqual({ code: 0, stdout: 'Nothing is other than before.\n', stderr: '' });
  await scene.write({ upstreams: { 'quay.io': { default: true } }, shutdownGrace: '7s' });
  const { code, stdout } = await run(scene);
  expect({ code, keys: stdout.trim().split('\n').toSorted() }).toEqual({
    code: 0,
    keys: ['shutdownGrace', 'upstreams.docker.io', 'upstreams.quay.io.default'],
  });
  await scene.write({ upstreams: UPSTREAMS, shutdownGrace: '7s' });
  const { changed } = JSON.parse((await run(scene, '--json')).stdout) as { changed: readonly string[] };
  expect(changed.toSorted()).toEqual(['upstreams.docker.io', 'upstreams.quay.io.default']);
});

it('says all that is wrong, a line for each, and nothing changed', async () => {
  const scene = await startReloadable({ upstreams: UPSTREAMS });
  await scene.write({ upstreams: { 'docker.io': { tagTTL: '1m', auth: { token: 'canary 1' } } } });
  const { code, stdout, stderr } = await run(scene);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr.split('\n').map((line) => line.replace(/(: ).*/, '$1…'))).toEqual([
    'entrepot: …',
    '  upstreams.docker.io.tagTTL: …',
    '  upstreams.docker.io.auth.token: …',
    '',
  ]);
  expect(stderr).toMatch(/^entrepot: the configuration is refused, and nothing changed:\n/);
  expect(stderr).not.toContain('canary');
});

it('says that no server runs', async () => {
  const scene = await startReloadable({ upstreams: UPSTREAMS });
  await scene.app.close();
  expect(await run(scene)).toMatchObject({ code: 1, stdout: '' });
});
