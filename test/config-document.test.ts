import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { documentOf } from '../src/config-document.ts';
import { readConfig } from '../src/config.ts';
import { tempDir } from './support/temp-dir.ts';

test('headers are secrets, whatever they are called, and so is a token that a variable gave', async () => {
  const workingDir = await tempDir();
  const tracing = { endpoint: 'http://collector.example:4318', headers: { 'x-team': 'canary-header' } };
  await writeFile(join(workingDir, 'config.yaml'), JSON.stringify({ tracing }));
  const environment = { ENTREPOT_ADMIN_TOKEN: 'canary-token' };
  const { settings } = documentOf(readConfig({ file: 'config.yaml', environment, workingDir }));
  expect(JSON.stringify(settings)).not.toContain('canary');
  const of = (key: string) => settings.find((setting) => setting.key === key);
  expect(of('tracing.endpoint')).toMatchObject({
    value: tracing.endpoint,
    source: 'file',
    needsRestart: true,
  });
  expect(of('tracing.headers.x-team')?.value).toBe('***');
  expect(of('admin.token')).toMatchObject({ value: '***', variable: 'ENTREPOT_ADMIN_TOKEN' });
});

test('without a file everything is a default', () => {
  const document = documentOf(readConfig({ environment: {}, workingDir: '/' }));
  expect(document.file).toBeUndefined();
  expect(new Set(document.settings.map(({ source }) => source))).toEqual(new Set(['default']));
  expect(document.settings.find(({ key }) => key === 'upstreams.quay.io.url')?.value).toBe('https://quay.io');
});
