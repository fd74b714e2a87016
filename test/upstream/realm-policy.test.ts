import { describe, expect, it } from 'vitest';
import { HostTrust } from '../../src/upstream/host-trust.ts';
import { judgeRealm } from '../../src/upstream/realm-policy.ts';

function verdict(
  realm: string,
  upstream: string,
  options: { trusted?: string[]; anonymous?: boolean } = {},
): string {
  const trust = new HostTrust(new URL(upstream), options.trusted ?? []);
  return judgeRealm(realm, trust, options.anonymous !== true).verdict;
}

describe('judgeRealm with credentials', () => {
  it.each([
    ['https://auth.docker.io/token', 'https://registry-1.docker.io'],
    ['https://quay.io/v2/auth', 'https://quay.io'],
    ['https://QUAY.io./v2/auth', 'https://quay.io'],
    ['https://gitlab.com/jwt/auth', 'https://registry.gitlab.com'],
    ['https://reg.example.co.uk:8443/token', 'https://auth.example.co.uk'],
    ['https://ghcr.io/token', 'https://ghcr.io:443'],
    ['http://registry.internal:8080/token', 'http://registry.internal:5000'],
    ['https://registry.internal/token', 'http://registry.internal:5000'],
    ['https://10.0.0.5/token', 'https://10.0.0.5:5000'],
    ['http://localhost:5001/token', 'http://localhost:5000'],
    ['https://[fd00::1]/token', 'https://[fd00::1]:5000'],
  ])('sends them to %s for %s', (realm, upstream) => {
    expect(verdict(realm, upstream)).toBe('credentials');
  });

  it.each([
    ['https://evil.example/token', 'https://quay.io'],
    ['https://quay.io.evil.example/token', 'https://quay.io'],
    ['https://notquay.io/token', 'https://quay.io'],
    ['https://quay.io@evil.example/token', 'https://quay.io'],
    ['https://user@quay.io/token', 'https://quay.io'],
    ['http://quay.io/token', 'https://quay.io'],
    ['https://127.0.0.1/token', 'https://quay.io'],
    ['https://localhost/token', 'https://quay.io'],
    ['https://169.254.169.254/token', 'https://quay.io'],
    ['https://10.0.0.6/token', 'https://10.0.0.5'],
    ['https://other.co.uk/token', 'https://example.co.uk'],
    ['https://mallory.github.io/token', 'https://alice.github.io'],
    ['https://internal/token', 'https://registry.internal'],
    ['ftp://quay.io/token', 'https://quay.io'],
    ['quay.io/token', 'https://quay.io'],
    ['', 'https://quay.io'],
    ['https://', 'https://quay.io'],
    ['https://quay.io\\@evil.example/token/', 'https://registry.example'],
  ])('refuses %s for %s', (realm, upstream) => {
    expect(verdict(realm, upstream)).toBe('refused');
  });

  it('sends them to trusted hosts, by host or by host and port', () => {
    const realm = 'https://login.corp.example:8443/token';
    expect(verdict(realm, 'https://quay.io', { trusted: ['login.corp.example'] })).toBe('credentials');
    expect(verdict(realm, 'https://quay.io', { trusted: ['login.corp.example:8443'] })).toBe('credentials');
    expect(verdict(realm, 'https://quay.io', { trusted: ['login.corp.example:443'] })).toBe('refused');
    expect(
      verdict('http://login.corp.example/token', 'https://quay.io', { trusted: ['login.corp.example'] }),
    ).toBe('refused');
  });
});

describe('judgeRealm without credentials', () => {
  it('takes a token of any https host', () => {
    expect(verdict('https://tokens.example/t', 'https://quay.io', { anonymous: true })).toBe('anonymous');
    expect(verdict('https://tokens.example/t', 'http://registry.internal', { anonymous: true })).toBe(
      'anonymous',
    );
  });

  it('takes none by http from another host', () => {
    expect(verdict('http://tokens.example/t', 'https://quay.io', { anonymous: true })).toBe('refused');
    expect(verdict('http://tokens.example/t', 'http://registry.internal', { anonymous: true })).toBe(
      'refused',
    );
    expect(verdict('http://registry.internal:81/t', 'http://registry.internal', { anonymous: true })).toBe(
      'anonymous',
    );
  });
});
