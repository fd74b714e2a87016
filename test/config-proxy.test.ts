import { expect, test } from 'vitest';
import { type ProxyConfig, type ProxyServer } from '../src/config.ts';
import { CANARY, type Environment, load, loadText, problemsIn, problemsOf } from './support/loaded-config.ts';

async function proxiesOf(
  text: string,
  environment: Environment = {},
): Promise<ReadonlyMap<string, ProxyConfig | undefined>> {
  return new Map((await loadText(text, environment)).upstreams.map(({ name, proxy }) => [name, proxy]));
}

const CORP: ProxyServer = { protocol: 'http:', host: 'corp', port: 3128, keyPath: 'proxy' };

test('a proxy is the upstream’s, else the top-level one, else the environment’s', async () => {
  const environment = {
    HTTPS_PROXY: 'http://u:p%40ss@env:8080',
    NO_PROXY: 'a.example, .b.example 10.0.0.0/8,bad glob?',
  };
  const fromEnvironment: ProxyConfig = {
    http: undefined,
    https: {
      protocol: 'http:',
      host: 'env',
      port: 8080,
      username: 'u',
      password: 'p@ss',
      keyPath: 'HTTPS_PROXY',
    },
    noProxy: ['a.example', '.b.example', '10.0.0.0/8', 'bad'],
    sparesLoopback: true,
  };
  const upstreams = 'upstreams: { a: {}, b: { proxy: none }, c: { proxy: "socks5h://[::1]" } }';
  const own: ProxyServer = {
    protocol: 'socks5h:',
    host: '::1',
    port: 1080,
    keyPath: 'upstreams.c.proxy',
  };
  const c: ProxyConfig = { http: own, https: own, noProxy: [], sparesLoopback: false };
  expect(await proxiesOf(upstreams, environment)).toEqual(
    new Map([
      ['a', fromEnvironment],
      ['b', undefined],
      ['c', c],
    ]),
  );
  const corp: ProxyConfig = { http: CORP, https: CORP, noProxy: ['x.example:5000'], sparesLoopback: false };
  const top = `proxy: { url: 'http://corp:3128', noProxy: [X.example:5000] }`;
  expect(await proxiesOf(`${top}\n${upstreams}`, environment)).toEqual(
    new Map([
      ['a', corp],
      ['b', undefined],
      ['c', c],
    ]),
  );
  expect(await proxiesOf(`proxy: none\n${upstreams}`, environment)).toEqual(
    new Map([
      ['a', undefined],
      ['b', undefined],
      ['c', c],
    ]),
  );
});

test.each<[Environment, string | undefined, string | undefined]>([
  [{}, undefined, undefined],
  [{ http_proxy: 'lower:1', HTTP_PROXY: 'http://upper:2' }, 'lower:1', undefined],
  [{ http_proxy: '', HTTP_PROXY: 'http://upper:2' }, 'upper:2', undefined],
  [{ ALL_PROXY: 'socks5://all', HTTPS_PROXY: 'https://secure' }, 'all:1080', 'secure:443'],
  [{ all_proxy: 'http://all' }, 'all:80', 'all:80'],
])('of the environment %j the proxies are %s and %s', async (environment, http, https) => {
  const proxy = (await proxiesOf('upstreams: { a: {} }', environment)).get('a');
  const shown = [proxy?.http, proxy?.https].map((server) => server && `${server.host}:${server.port}`);
  expect(shown).toEqual([http, https]);
});

test.each<[string, string, RegExp]>([
  ['proxy: "ftp://x:1"', 'proxy', /^accepted is http:/],
  ['proxy: "http://x:1/path"', 'proxy', /^accepted is http:/],
  ['proxy: { url: "socks4://x" }', 'proxy.url', /^accepted is http:/],
  ['proxy: { noProxy: [] }', 'proxy.url', /^is missing/],
  ['proxy: { url: "http://x", noProxy: ["a b"] }', 'proxy.noProxy.0', /^accepted is host, \.domain/],
  ['proxy: { url: "http://x", noProxy: [10.0.0.0/99] }', 'proxy.noProxy.0', /^accepted is host, \.domain/],
  ['proxy: { url: "http://x", noProxy: ["fd00::/129"] }', 'proxy.noProxy.0', /a CIDR/],
  [
    'proxy: { url: "http://x", passwordFile: /nowhere/secret, username: u }',
    'proxy.passwordFile',
    /no such file$/,
  ],
  ['proxy: { url: "http://x", password: p }', 'proxy.username', /^is missing/],
  ['proxy: { url: "http://x", ca: /nowhere/ca }', 'proxy.ca', /no such file$/],
  [
    'upstreams: { a: { proxy: { url: "http://x", usrname: u } } }',
    'upstreams.a.proxy.usrname',
    /did you mean username\?$/,
  ],
])('a proxy that cannot be is told: %s', async (text, path, message) => {
  const [problem] = await problemsOf(text);
  expect(problem?.path).toBe(path);
  expect(problem?.message).toMatch(message);
});

test('a variable that names no proxy is told, and not quoted', () => {
  const problems = problemsIn(() => load({ HTTPS_PROXY: `ftp://${CANARY}` }));
  expect(problems).toEqual([
    { path: 'HTTPS_PROXY', message: expect.stringMatching(/^accepted is http:/) as unknown },
  ]);
});
