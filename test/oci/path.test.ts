import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { OciError } from '../../src/oci/error.ts';
import { type DistributionTarget, parseTarget, TAG_PAGE_LIMIT } from '../../src/oci/path.ts';
import { printReference } from '../../src/oci/reference.ts';

const DIGEST = digestOf(Buffer.from('x'));
const SHA512 = digestOf(Buffer.from('x'), 'sha512');

function codeOf(target: string): string | undefined {
  try {
    parseTarget(target);
    return undefined;
  } catch (error) {
    if (error instanceof OciError) return error.code;
    throw error;
  }
}

describe('a target', () => {
  it.each([
    ['/v2', undefined],
    ['/v2/', undefined],
    ['/quay.io/v2', 'quay.io'],
    ['/quay.io/v2/', 'quay.io'],
  ])('%s is the base endpoint', (target, leading) => {
    expect(parseTarget(target)).toEqual({ endpoint: { kind: 'base' }, leading, ns: undefined });
  });

  it('names a manifest by tag or by digest', () => {
    expect(parseTarget('/v2/library/nginx/manifests/1.27')?.endpoint).toEqual({
      kind: 'manifest',
      path: 'library/nginx',
      reference: { tag: '1.27' },
    });
    for (const digest of [DIGEST, SHA512]) {
      expect(parseTarget(`/v2/a/manifests/${digest}`)?.endpoint).toEqual({
        kind: 'manifest',
        path: 'a',
        reference: { digest },
      });
    }
  });

  it('names a blob, the tags, or the referrers of a digest', () => {
    expect(parseTarget(`/v2/a/b/blobs/${DIGEST}`)?.endpoint).toEqual({
      kind: 'blob',
      path: 'a/b',
      digest: DIGEST,
    });
    expect(parseTarget('/v2/a/b/tags/list')?.endpoint).toEqual({
      kind: 'tags',
      path: 'a/b',
      count: undefined,
      last: undefined,
    });
    expect(
      parseTarget(`/v2/a/referrers/${DIGEST}?artifactType=a%2Fb&artifactType=c`)?.endpoint,
    ).toMatchObject({ kind: 'referrers', path: 'a', digest: DIGEST, artifactTypes: ['a/b', 'c'] });
  });

  it.each([
    [`/v2/blobs/blobs/${DIGEST}`, 'blobs'],
    [`/v2/a/blobs/${DIGEST.slice(7)}/blobs/${DIGEST}`, `a/blobs/${DIGEST.slice(7)}`],
    ['/v2/manifests/manifests/manifests', 'manifests'],
    ['/v2/a/tags/list/tags/list', 'a/tags/list'],
    ['/v2/tags/list/manifests/tags', 'tags/list'],
    ['/v2/v2/v2/tags/list', 'v2/v2'],
    ['/v2/a/referrers/b/manifests/blobs', 'a/referrers/b'],
  ])('is split from its right end: %s', (target, path) => {
    expect(parseTarget(target)?.endpoint).toMatchObject({ path });
  });

  it.each([
    '/',
    '/v1/',
    '/v20/',
    '/V2/',
    '/metrics',
    '/a/b/v2/',
    '/v2/_catalog',
    '/v2/a',
    '/v2/a/tags',
    '/v2/a/tags/all',
    '/v2/tags/list',
    `/v2/blobs/${DIGEST}`,
    '/v2/a/blobs/uploads/',
    '/v2/a/tags/list/',
    '/v2/a/manifests/latest/',
  ])('%s is no endpoint', (target) => {
    expect(parseTarget(target)).toBeUndefined();
  });

  it.each([
    ['', 'NAME_INVALID'],
    ['*', 'NAME_INVALID'],
    ['v2/', 'NAME_INVALID'],
    ['http://evil.example/v2/', 'NAME_INVALID'],
    ['//evil.example/v2/', 'NAME_INVALID'],
    ['/v2//a/tags/list', 'NAME_INVALID'],
    ['/v2/a//tags/list', 'NAME_INVALID'],
    ['/v2/./a/tags/list', 'NAME_INVALID'],
    ['/v2/../etc/passwd', 'NAME_INVALID'],
    ['/../v2/', 'NAME_INVALID'],
    ['/v2/%2e%2e/a/tags/list', 'NAME_INVALID'],
    ['/v2/a%2Fb/tags/list', 'NAME_INVALID'],
    ['/v2/a%00/tags/list', 'NAME_INVALID'],
    ['/%76%32/', 'NAME_INVALID'],
    ['/v2/a\\..\\b/tags/list', 'NAME_INVALID'],
    ['/v2/a/tags/list#x', 'NAME_INVALID'],
    ['/v2/a;b/tags/list', 'NAME_INVALID'],
    ['/v2/a@b/tags/list', 'NAME_INVALID'],
    ['/v2/a/tags/list\r\nX: y', 'NAME_INVALID'],
    ['/v2/a\u0000/tags/list', 'NAME_INVALID'],
    ['/v2/ä/tags/list', 'NAME_INVALID'],
    ['/v2/a/manifests/', 'TAG_INVALID'],
    ['/v2/a/manifests/.hidden', 'TAG_INVALID'],
    ['/v2/a/manifests/-x', 'TAG_INVALID'],
    [`/v2/a/manifests/${'x'.repeat(129)}`, 'TAG_INVALID'],
    ['/v2/a/manifests/a:b', 'DIGEST_INVALID'],
    ['/v2/a/blobs/latest', 'DIGEST_INVALID'],
    [`/v2/a/blobs/${DIGEST.toUpperCase()}`, 'DIGEST_INVALID'],
    [`/v2/a/blobs/${DIGEST}0`, 'DIGEST_INVALID'],
    [`/v2/a/blobs/${DIGEST.slice(0, -1)}`, 'DIGEST_INVALID'],
    [`/v2/a/blobs/blake3:${'a'.repeat(64)}`, 'DIGEST_INVALID'],
    [`/v2/a/blobs/sha256+b64u:${'a'.repeat(43)}`, 'DIGEST_INVALID'],
    ['/v2/a/blobs/__proto__:aa', 'DIGEST_INVALID'],
    ['/v2/a/blobs/constructor:aa', 'DIGEST_INVALID'],
    [`/v2/a/referrers/latest`, 'DIGEST_INVALID'],
  ])('%j is refused with %s', (target, code) => {
    expect(codeOf(target)).toBe(code);
  });
});

function paging(query: string) {
  return parseTarget(`/v2/a/tags/list${query}`)?.endpoint;
}

describe('paging', () => {
  it.each([
    ['', undefined],
    ['?n=0', 0],
    ['?n=1', 1],
    ['?n=007', 7],
    ['?n=1000', 1000],
    ['?n=1001', TAG_PAGE_LIMIT],
    ['?n=999999999', TAG_PAGE_LIMIT],
  ])('%s asks for %s tags', (query, count) => {
    expect(paging(query)).toMatchObject({ kind: 'tags', count });
  });

  it.each([
    '?n=',
    '?n=-1',
    '?n=1.5',
    '?n=1e9',
    '?n=1e309',
    '?n=NaN',
    '?n=Infinity',
    '?n=0x10',
    '?n=+1',
    '?n= 1',
    '?n=1&n=1',
    '?n=9999999999',
    '?n=١',
    '?last=a&last=b',
    `?last=${'x'.repeat(257)}`,
  ])('%s is refused', (query) => {
    expect(codeOf(`/v2/a/tags/list${query}`)).toBe('PAGINATION_NUMBER_INVALID');
  });

  it('takes any text of bounded length as `last`, since it is only compared', () => {
    expect(paging('?last=%3Cscript%3E')).toMatchObject({ last: '<script>' });
    expect(paging('?last=')).toMatchObject({ last: '' });
  });

  it('does not concern other endpoints', () => {
    expect(parseTarget('/v2/a/manifests/b?n=x&n=y')?.endpoint.kind).toBe('manifest');
  });
});

describe('ns', () => {
  it.each(['docker.io', 'localhost', 'localhost:5000', '10.0.0.1:5000', 'REGISTRY.example'])(
    'takes %s as it stands',
    (ns) => {
      expect(parseTarget(`/v2/?ns=${ns}`)).toMatchObject({ ns });
    },
  );

  it.each([
    '',
    'user@evil.example',
    'evil.example/path',
    'https://evil.example',
    'evil.example%0d%0aX:y',
    'evil.example%00',
    '-evil.example',
    'evil.example.',
    'evil.example:',
    'evil.example:999999',
    '[::1]',
    'a b',
    'x'.repeat(257),
    'a.io&ns=a.io',
    'a.io&ns=b.io',
  ])('refuses %j', (ns) => {
    expect(codeOf(`/v2/a/manifests/b?ns=${ns}`)).toBe('NAME_INVALID');
  });
});

const segment = fc.constantFrom(
  'a',
  'blobs',
  'manifests',
  'tags',
  'list',
  'referrers',
  'v2',
  'b-c',
  'x__y',
  '0',
);
const path = fc.array(segment, { minLength: 1, maxLength: 5 }).map((all) => all.join('/'));
const hex = fc
  .array(fc.constantFrom(...Array.from('0123456789abcdef')), { minLength: 64, maxLength: 64 })
  .map((all) => `sha256:${all.join('')}`);
const tag = fc.stringMatching(/^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,20}$/);
const leading = fc.option(fc.constantFrom('quay.io', 'docker.io', 'x'), { nil: undefined });
const ns = fc.option(fc.constantFrom('quay.io', 'docker.io', 'localhost:5000'), { nil: undefined });
const optional = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });

/** What a canonical target says, built without the parser. */
const meaning = fc.record({
  leading,
  ns,
  what: fc.oneof(
    fc.record({ kind: fc.constant('base' as const) }),
    fc.record({ kind: fc.constant('manifest' as const), path, reference: fc.oneof(tag, hex) }),
    fc.record({ kind: fc.constant('blob' as const), path, digest: hex }),
    fc.record({
      kind: fc.constant('tags' as const),
      path,
      count: optional(fc.nat({ max: TAG_PAGE_LIMIT })),
      last: optional(fc.string({ maxLength: 30 })),
    }),
    fc.record({
      kind: fc.constant('referrers' as const),
      path,
      digest: hex,
      artifactTypes: fc.array(fc.string({ maxLength: 10 }), { maxLength: 2 }),
    }),
  ),
});
type Meaning = typeof meaning extends fc.Arbitrary<infer T> ? T : never;

function print({ leading: lead, ns: named, what }: Meaning): string {
  const query = new URLSearchParams();
  let rest = '';
  if (what.kind === 'manifest') rest = `${what.path}/manifests/${what.reference}`;
  if (what.kind === 'blob') rest = `${what.path}/blobs/${what.digest}`;
  if (what.kind === 'tags') {
    rest = `${what.path}/tags/list`;
    if (what.count !== undefined) query.set('n', String(what.count));
    if (what.last !== undefined) query.set('last', what.last);
  }
  if (what.kind === 'referrers') {
    rest = `${what.path}/referrers/${what.digest}`;
    for (const type of what.artifactTypes) query.append('artifactType', type);
  }
  if (named !== undefined) query.set('ns', named);
  const text = query.toString();
  return `${lead === undefined ? '' : `/${lead}`}/v2/${rest}${text === '' ? '' : `?${text}`}`;
}

function meaningOf(parsed: DistributionTarget): Meaning {
  const { endpoint } = parsed;
  const what =
    endpoint.kind === 'manifest' ? { ...endpoint, reference: printReference(endpoint.reference) } : endpoint;
  return { leading: parsed.leading, ns: parsed.ns, what } as Meaning;
}

describe('parsing', () => {
  it('gives back what was printed', () => {
    fc.assert(
      fc.property(meaning, (meant) => {
        const parsed = parseTarget(print(meant));
        expect(parsed && meaningOf(parsed)).toEqual(meant);
      }),
      { numRuns: 2000 },
    );
  });

  it('never takes two different requests for the same', () => {
    fc.assert(
      fc.property(meaning, meaning, (one, other) => {
        fc.pre(print(one) !== print(other));
        expect(parseTarget(print(one))).not.toEqual(parseTarget(print(other)));
      }),
      { numRuns: 2000 },
    );
  });

  it('throws nothing but an OciError, whatever the target is', () => {
    const piece = fc.oneof(
      segment,
      fc.constantFrom(
        '/',
        '//',
        '..',
        '.',
        '%2e',
        '%',
        '\\',
        '?',
        '&',
        '#',
        ':',
        '@',
        '\r\n',
        '\0',
        'n=',
        'ns=',
        DIGEST,
      ),
      fc.string({ unit: 'binary', maxLength: 5 }),
    );
    const anything = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.array(piece, { maxLength: 12 }).map((all) => `/v2/${all.join('/')}`),
      fc.array(piece, { maxLength: 12 }).map((all) => all.join('')),
    );
    fc.assert(
      fc.property(anything, (target) => {
        const code = codeOf(target);
        expect(code === undefined || code.endsWith('_INVALID')).toBe(true);
      }),
      { numRuns: 10_000 },
    );
  });

  it('lets no character through into a path that a name cannot have', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', minLength: 1 }), (text) => {
        let parsed: DistributionTarget | undefined;
        try {
          parsed = parseTarget(`/v2/${text}/tags/list`);
        } catch {
          return;
        }
        if (parsed?.endpoint.kind !== 'tags') return;
        expect(parsed.endpoint.path).toMatch(/^[a-zA-Z0-9:._=+-]+(?:\/[a-zA-Z0-9:._=+-]+)*$/);
        expect(parsed.endpoint.path.split('/')).not.toContain('..');
      }),
      { numRuns: 5000 },
    );
  });
});
