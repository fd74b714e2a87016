import { describe, expect, it } from 'vitest';
import { matchesPlatform, parsePlatform, type Platform, printPlatform } from '../../src/oci/platform.ts';

function read(text: string): Platform {
  const platform = parsePlatform(text);
  if ('problem' in platform) throw new Error(platform.problem);
  return platform;
}

describe('a platform', () => {
  it.each([
    ['linux/amd64', 'linux/amd64'],
    ['Linux/x86_64', 'linux/amd64'],
    ['linux/aarch64', 'linux/arm64'],
    ['linux/armhf', 'linux/arm/v7'],
    ['linux/arm/v6', 'linux/arm/v6'],
    ['windows/amd64', 'windows/amd64'],
  ])('is read from %s', (text, printed) => {
    expect(printPlatform(read(text))).toBe(printed);
  });

  it.each(['', 'linux', 'amd64', 'linux/', 'linux/amd64/v1/x', 'linux/amd 64', 'linus/amd64', '../x/y'])(
    'is not %j, and what is accepted is said',
    (text) => {
      expect(parsePlatform(text)).toEqual({ problem: expect.stringContaining('OS/ARCHITECTURE[/VARIANT]') });
    },
  );

  it.each([
    ['linux/arm64', 'linux/arm64/v8', true],
    ['linux/arm64/v8', 'linux/arm64', true],
    ['linux/arm', 'linux/arm/v6', true],
    ['linux/arm/v7', 'linux/arm/v6', false],
    ['linux/arm/v7', 'linux/arm', true],
    ['linux/amd64', 'linux/arm64', false],
    ['linux/amd64', 'windows/amd64', false],
  ])('%s asked for and %s offered: %s', (wanted, offered, fits) => {
    expect(matchesPlatform(read(wanted), read(offered))).toBe(fits);
  });
});
