import { chmod, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { onTestFinished } from 'vitest';
import { type Clock, systemClock } from '../../../src/clock.ts';
import type { AuthConfig } from '../../../src/config.ts';
import type { Credential, CredentialSource } from '../../../src/upstream/credentials/credential-source.ts';
import {
  type CredentialOptions,
  openCredentials,
} from '../../../src/upstream/credentials/open-credentials.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { never } from '../upstream-under-test.ts';

export interface OpenSource extends CredentialSource {
  readonly warnings: readonly string[];
  /** What it said cannot be had. */
  readonly unusable: readonly string[];
  /** For the repository `team/app`. */
  get(): Promise<Credential | undefined>;
}

/** The source of an upstream `r.example` at http://r.example, closed after the test. */
export function sourceOf(
  auth: AuthConfig,
  options: Partial<CredentialOptions> & { readonly clock?: Clock } = {},
): OpenSource {
  const warnings: string[] = [];
  const unusable: string[] = [];
  const source = openCredentials(auth, {
    upstreamName: 'r.example',
    keyPath: 'upstreams.r.example.auth',
    base: new URL('http://r.example'),
    clock: systemClock,
    post: async () => Promise.reject(new Error('nothing is posted')),
    warn: (key, problem) => void warnings.push(`${key}: ${problem}`),
    unusable: (key, problem) => void unusable.push(`${key}: ${problem}`),
    ...options,
  });
  onTestFinished(() => source.close());
  return {
    account: source.account,
    warnings,
    unusable,
    get: async () => source.credential('team/app', never()),
    credential: async (repository, signal) => source.credential(repository, signal),
    refused: (credential) => source.refused(credential),
    close: () => source.close(),
  };
}

/** Lets a second pass, after which files are looked at again. */
export async function aSecond(clock: FakeClock): Promise<void> {
  await clock.advance(1_001);
}

/** A program `docker-credential-<name>` that is a shell script, first on the PATH until the test is over. */
export async function installHelper(name: string, script: string): Promise<string> {
  const directory = await tempDir();
  const path = join(directory, `docker-credential-${name}`);
  await writeFile(path, `#!/bin/sh\n${script}\n`);
  await chmod(path, 0o755);
  setVariable('PATH', `${directory}${delimiter}${process.env['PATH'] ?? ''}`);
  return directory;
}

/** An environment variable as it is during this test. */
export function setVariable(name: string, value: string | undefined): void {
  const before = process.env[name];
  const put = (text: string | undefined): void => {
    if (text === undefined) delete process.env[name];
    else process.env[name] = text;
  };
  put(value);
  onTestFinished(() => put(before));
}
