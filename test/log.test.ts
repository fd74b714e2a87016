import { expect, test } from 'vitest';
import { errorFacts, type LogLevel, safeText } from '../src/log.ts';
import { createLog } from '../src/log-output.ts';
import { terminalLines } from '../src/log-terminal.ts';

const CANARY = 'hunter2canary0123';

function logged(level: LogLevel, pretty = false) {
  const lines: string[] = [];
  const format = pretty ? terminalLines() : undefined;
  const log = createLog({ level, format, destination: { write: (line) => lines.push(line) } });
  return { log, lines };
}

test('a line is one JSON object with its level, time and message', () => {
  const { log, lines } = logged('info');
  log.warn({ upstream: 'docker.io', bytes: 5, skipped: undefined }, 'slow\nanswer');
  expect(lines).toHaveLength(1);
  expect(lines[0]).toMatch(/^\{.*\}\n$/);
  expect(JSON.parse(lines[0] ?? '')).toEqual({
    level: 'warn',
    time: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
    upstream: 'docker.io',
    bytes: 5,
    msg: 'slow\nanswer',
  });
});

test('a line below the level is not written', () => {
  const { log, lines } = logged('warn');
  log.debug({}, 'a');
  log.info({}, 'b');
  log.warn({}, 'c');
  log.error({}, 'd');
  expect(lines.map((line) => (JSON.parse(line) as { msg: string }).msg)).toEqual(['c', 'd']);
});

test('at a terminal a line is text with its facts', () => {
  const { log, lines } = logged('info', true);
  log.info({ upstream: 'docker.io', password: CANARY }, 'hello');
  expect(lines).toHaveLength(1);
  expect(lines[0]).toContain('hello');
  expect(lines[0]).toContain('docker.io');
  expect(lines[0]).toMatch(/^[^{]/);
  expect(lines[0]).not.toContain(CANARY);
});

test.each([
  { authorization: CANARY },
  { Authorization: `Bearer ${CANARY}` },
  { password: CANARY },
  { adminToken: CANARY },
  { headers: { 'set-cookie': CANARY, 'Proxy-Authorization': [CANARY] } },
  { list: [{ token: CANARY }] },
  { url: `https://user:${CANARY}@registry.example/v2/` },
  { url: `https://cdn.example/blob?X-Amz-Signature=${CANARY}` },
  {
    error: new Error(`GET https://cdn.example/b?sig=${CANARY} failed`, {
      cause: new Error(`Bearer ${CANARY}`),
    }),
  },
  { deep: { a: { b: { c: { d: { e: { f: CANARY } } } } } } },
  { body: new Map([['token', CANARY]]) },
])('no secret gets into the log: %j', (facts) => {
  for (const pretty of [false, true]) {
    const { log, lines } = logged('debug', pretty);
    log.error(facts, 'message');
    expect(lines.join('')).toContain('message');
    expect(lines.join('')).not.toContain(CANARY);
  }
});

test('an error is logged with its name, reason, code and what lies behind it', () => {
  const root = Object.assign(new Error('connect ECONNREFUSED 127.0.0.1:443'), { code: 'ECONNREFUSED' });
  const several = new AggregateError(
    [root, Object.assign(new Error('timed out'), { code: 'ETIMEDOUT' })],
    '',
  );
  const error = Object.assign(new Error('no connection to docker.io', { cause: several }), {
    reason: 'unavailable',
  });
  expect(errorFacts(error)).toEqual({
    name: 'Error',
    message: 'no connection to docker.io',
    reason: 'unavailable',
    causes: ['AggregateError', 'connect ECONNREFUSED 127.0.0.1:443', 'ETIMEDOUT: timed out'],
  });
  expect(errorFacts(error, { stack: true }).stack).toContain('log.test.ts');
});

test('an endless chain of causes ends', () => {
  const error = new Error('round');
  error.cause = error;
  expect(errorFacts(error).causes).toHaveLength(8);
});

test.each([[undefined], [null], ['text'], [42], [{ password: CANARY }], [Symbol('x')]])(
  'whatever is thrown can be logged: %s',
  (thrown: unknown) => {
    expect(JSON.stringify(errorFacts(thrown))).not.toContain(CANARY);
    expect(errorFacts(thrown).message).not.toBe('');
  },
);

test.each([
  ['plain text: 100% fine?', 'plain text: 100% fine?'],
  ['GET https://a.example/v2/x/blobs/sha256:aa 500', 'GET https://a.example/v2/x/blobs/sha256:aa 500'],
  ['https://u:p@a.example/x', 'https://a.example/x'],
  ['https://u:p@q@a.example/x', 'https://a.example/x'],
  ['see "https://a.example/x?token=1#y" there', 'see "https://a.example/x" there'],
  ['/v2/token?account=me&password=1 failed', '/v2/token failed'],
  ['realm Bearer realm="https://auth.example/token"', 'realm Bearer realm="https://auth.example/token"'],
])('%j is shown as %j', (text, shown) => {
  expect(safeText(text)).toBe(shown);
});
