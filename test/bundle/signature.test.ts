import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import {
  isSignedBy,
  newKeyPair,
  privateKeyFrom,
  publicKeyFrom,
  signatureOf,
} from '../../src/bundle/signature.ts';
import { exportScene, tarEntries } from '../commands/export-scene.ts';
import { buildImage } from '../support/images.ts';

const DOCUMENT = Buffer.from('{"a":1}');
const pair = newKeyPair();
const own = {
  privateKey: privateKeyFrom(pair.privatePem, 'k'),
  publicKey: publicKeyFrom(pair.publicPem, 'p'),
};
const other = publicKeyFrom(newKeyPair().publicPem, 'p');

test('a signature is of its bytes and its key alone, whichever of several keys that is', () => {
  const signature = signatureOf(DOCUMENT, own.privateKey);
  expect(isSignedBy(DOCUMENT, signature, [own.publicKey])).toBe(true);
  expect(isSignedBy(DOCUMENT, signature, [other, own.publicKey])).toBe(true);
  expect(isSignedBy(DOCUMENT, signature, [other])).toBe(false);
  expect(isSignedBy(DOCUMENT, signature, [])).toBe(false);
  expect(isSignedBy(Buffer.from('{"a":2}'), signature, [own.publicKey])).toBe(false);
});

test('what is no signature is none', () => {
  const right = signatureOf(DOCUMENT, own.privateKey).trim();
  for (const text of [
    '',
    'AAAA',
    right.slice(4),
    `${right}AAAA`,
    `${right.slice(0, -4)}!===`,
    'A'.repeat(10_000),
  ])
    expect(isSignedBy(DOCUMENT, text, [own.publicKey])).toBe(false);
});

test('keys of another kind, or none at all, are refused without a word of what they hold', () => {
  const rsa = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  });
  for (const pem of ['', 'canary-key', rsa.privateKey, pair.publicPem])
    expect(() => privateKeyFrom(pem, 'my.key')).toThrow('my.key: accepted is an Ed25519 private key (PEM)');
  for (const pem of ['', 'canary-key', rsa.publicKey, pair.privatePem])
    expect(() => publicKeyFrom(pem, 'my.pub')).toThrow('my.pub: accepted is an Ed25519 public key (PEM)');
  expect(() => privateKeyFrom('canary-key', 'k')).toThrow(/^(?!.*canary)/);
});

test('keygen makes a pair that only its owner can sign with, and replaces none', async () => {
  const { run, workingDir } = await exportScene([]);
  expect(await run('keygen', '--output', 'site')).toMatchObject({ code: 0 });
  expect((await stat(join(workingDir, 'site.key'))).mode & 0o777).toBe(0o600);
  const key = await readFile(join(workingDir, 'site.key'), 'utf8');
  const publicPem = await readFile(join(workingDir, 'site.pub'), 'utf8');
  expect(createPublicKey(key).export({ type: 'spki', format: 'pem' })).toBe(publicPem);
  expect(await run('keygen', '--output', 'site')).toMatchObject({ code: 1 });
  expect(await readFile(join(workingDir, 'site.key'), 'utf8')).toBe(key);
  await writeFile(join(workingDir, 'half.pub'), 'mine');
  expect((await run('keygen', '--output', 'half')).stderr).toContain('half.pub is there already');
  await expect(stat(join(workingDir, 'half.key'))).rejects.toThrow('ENOENT');
});

test('an export that is signed holds a signature of what it says, and its parts have one of theirs', async () => {
  const image = buildImage({ layerSizes: [1_500_000] });
  const { run, workingDir } = await exportScene([{ repository: 'library/app', tag: 'v1', image }]);
  await run('keygen');
  const key = publicKeyFrom(await readFile(join(workingDir, 'entrepot.pub'), 'utf8'), 'p');
  const args = ['export', 'app:v1', '--sign', 'entrepot.key', '--output'];
  expect(await run(...args, 'app.tar')).toMatchObject({ code: 0 });
  const entries = await tarEntries(join(workingDir, 'app.tar'));
  const document = entries.get('entrepot.json') ?? Buffer.alloc(0);
  expect(isSignedBy(document, String(entries.get('entrepot.json.sig')), [key])).toBe(true);
  expect([...entries.keys()][2]).toBe('entrepot.json.sig');

  await run(...args, 'parts.tar', '--max-part-size', '1MiB');
  const list = await readFile(join(workingDir, 'parts.tar.parts.json'));
  const signature = await readFile(join(workingDir, 'parts.tar.parts.json.sig'), 'utf8');
  expect(isSignedBy(list, signature, [key])).toBe(true);
  const wrong = await run('export', 'app:v1', '--sign', 'entrepot.pub', '--output', 'b.tar');
  expect(wrong).toMatchObject({ code: 1, stderr: expect.stringContaining('Ed25519 private key') as string });
});
