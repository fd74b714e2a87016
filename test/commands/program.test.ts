import { createServer } from 'node:net';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { runProgram } from '../../src/commands/program.ts';
import { fakeProcess } from '../support/fake-process.ts';

test('help and version go to standard output and are no failure', async () => {
  const subject = await fakeProcess();
  expect(await runProgram(['--version'], subject.io)).toBe(0);
  expect(subject.stdout()).toBe('1.2.3\n');
  expect(await runProgram(['--help'], subject.io)).toBe(0);
  expect(await runProgram(['serve', '--help'], subject.io)).toBe(0);
  expect(await runProgram(['help', 'serve'], subject.io)).toBe(0);
  expect(subject.stdout()).toContain('entrepot serve --config /etc/entrepot/config.yaml');
  expect(subject.stderr()).toBe('');
});

test.each([
  [[], 'Usage: entrepot'],
  [['srve'], "unknown command 'srve'"],
  [['serve', '--confg', 'x'], "unknown option '--confg'"],
  [['serve', '--config'], 'argument missing'],
  [['serve', 'extra'], 'too many arguments'],
  [['setup'], 'which client?'],
  [['setup', 'dokerd'], 'there is no client "dokerd"'],
  [['setup', 'podman', '--upstream', 'example.com'], '--upstream example.com: not configured'],
  [['setup', 'podman', '--ca', 'absent.pem'], 'absent.pem: cannot be read'],
])('wrong usage %j ends with 2 and a sentence', async (args, sentence) => {
  const subject = await fakeProcess();
  expect(await runProgram(args, subject.io)).toBe(2);
  expect(subject.stderr()).toContain(sentence);
  expect(subject.stdout()).toBe('');
});

test('a wrong configuration ends with 2, tells all of it and starts nothing', async () => {
  const subject = await fakeProcess({ ENTREPOT_OFFLINE: 'perhaps' });
  await writeFile(
    join(subject.io.workingDir, 'c.yaml'),
    'listne: 127.0.0.1:1\nupstreams: { x: { auth: { password: hunter2 } } }',
  );
  expect(await runProgram(['serve', '--config', 'c.yaml'], subject.io)).toBe(2);
  expect(subject.stderr().trimEnd().split('\n')).toEqual([
    'entrepot: the configuration has 3 problems; nothing was started.',
    '  ENTREPOT_OFFLINE: "perhaps": accepted is true or false',
    '  listne: unknown key; did you mean listen?',
    '  upstreams.x.auth.username: is missing; username or usernameFile gives it',
  ]);
  expect(subject.logged()).toEqual([]);
});

test('SIGTERM ends it with 0 after it said where it listens', async () => {
  const subject = await fakeProcess();
  const code = runProgram(['serve'], subject.io);
  const listening = await subject.line('listening');
  expect(listening).toMatchObject({
    level: 'info',
    version: '1.2.3',
    dataDir: join(subject.io.workingDir, 'data'),
  });
  const answer = await fetch(`${String(listening['registry'])}/v2/`);
  expect(answer.status).toBe(200);
  expect(listening['dockerDaemonJson']).toBe(JSON.stringify({ 'registry-mirrors': [listening['registry']] }));
  subject.events.emit('SIGTERM');
  expect(await code).toBe(0);
  expect(subject.events.listenerCount('SIGTERM')).toBe(0);
  await expect(fetch(`${String(listening['registry'])}/v2/`)).rejects.toThrow();
});

test.each([
  ['SIGTERM', 143],
  ['SIGINT', 130],
])('a second signal, %s, ends it at once with %d', async (signal, expected) => {
  const subject = await fakeProcess();
  const code = runProgram(['serve'], subject.io);
  await subject.line('listening');
  subject.events.emit('SIGTERM');
  subject.events.emit(signal);
  expect(await code).toBe(expected);
});

test('at a terminal it says in plain lines where it listens and what Docker needs', async () => {
  const subject = await fakeProcess({}, true);
  const code = runProgram(['serve'], subject.io);
  await expect.poll(() => subject.stdout()).toContain('/etc/docker/daemon.json');
  subject.events.emit('SIGINT');
  expect(await code).toBe(0);
  expect(subject.stdout()).toMatch(
    /^entrepot 1\.2\.3\n {2}registry {3}http:\/\/127\.0\.0\.1:\d+\n {2}admin /,
  );
});

test('a port in use ends it with 1 and one sentence', async () => {
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
  const address = taken.address();
  const port = typeof address === 'object' ? address?.port : undefined;
  const subject = await fakeProcess({ ENTREPOT_LISTEN: `127.0.0.1:${port}` });
  expect(await runProgram(['serve'], subject.io)).toBe(1);
  expect(subject.stderr()).toMatch(new RegExp(`^entrepot: .*${port}.*\\n$`));
  taken.close();
});

test('a data directory that another process holds ends it with 1 and one sentence', async () => {
  const first = await fakeProcess();
  const second = await fakeProcess({ ENTREPOT_DATA_DIR: join(first.io.workingDir, 'data') });
  const code = runProgram(['serve'], first.io);
  await first.line('listening');
  expect(await runProgram(['serve'], second.io)).toBe(1);
  expect(second.stderr()).toMatch(/^entrepot: .*\n$/);
  expect(second.stderr()).toContain(join(first.io.workingDir, 'data'));
  first.events.emit('SIGTERM');
  expect(await code).toBe(0);
});

test('a fault that nothing caught is logged with its place and ends it with 1', async () => {
  const subject = await fakeProcess();
  const code = runProgram(['serve'], subject.io);
  await subject.line('listening');
  subject.events.emit('unhandledRejection', new Error('lost https://u:p@x/?a=b'));
  expect(await code).toBe(1);
  const line = await subject.line('unexpected error: stopping');
  expect(line['error']).toMatchObject({
    message: 'lost https://x/',
    stack: expect.stringContaining('program.test.ts'),
  });
});
