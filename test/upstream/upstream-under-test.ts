import { onTestFinished } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import type { UpstreamConfig } from '../../src/config.ts';
import { MANIFEST_MEDIA_TYPES, OCI_MANIFEST } from '../../src/oci/media-type.ts';
import {
  parseReference,
  parseRepositoryName,
  type Reference,
  type RepositoryName,
} from '../../src/oci/reference.ts';
import { openUpstream, type OpenUpstreamOptions } from '../../src/upstream/open-upstream.ts';
import type { Upstream } from '../../src/upstream/upstream.ts';
import type { UpstreamError } from '../../src/upstream/upstream-error.ts';
import type { UpstreamObserver } from '../../src/upstream/upstream-observer.ts';

export const repository: RepositoryName = parseRepositoryName('team/app');
export const latest: Reference = parseReference('latest');
export const accept = { accept: MANIFEST_MEDIA_TYPES };
export const credentials = { username: 'robot', password: 'canary-p4ss' };
/** One try, so that a test of a refusal does not wait. */
export const once = { ...accept, patienceMs: 0 };

/** A small manifest that differs by `note`. */
export function manifestText(note = 'one'): string {
  const config = {
    mediaType: 'application/vnd.oci.empty.v1+json',
    digest: `sha256:${'0'.repeat(64)}`,
    size: 2,
  };
  return JSON.stringify({
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    config,
    layers: [],
    annotations: { note },
  });
}

export type Event = { readonly name: string; readonly facts: Record<string, unknown> };

/** Writes down what it is told; `waiting` = requests on the wire that have no answer yet. */
export class RecordingObserver implements UpstreamObserver {
  readonly events: Event[] = [];
  waiting = 0;

  requestStarted(): void {
    this.waiting += 1;
  }
  requestFinished(facts: object): void {
    this.waiting -= 1;
    this.#note('requestFinished', facts);
  }
  bytesReceived(): void {}
  rateLimit(facts: object): void {
    this.#note('rateLimit', facts);
  }
  availabilityChanged(cause: UpstreamError | undefined): void {
    this.#note('availabilityChanged', { up: cause === undefined });
  }
  mirrorAvailabilityChanged(facts: object): void {
    this.#note('mirrorAvailabilityChanged', facts);
  }
  breakerChanged(phase: string): void {
    this.#note('breakerChanged', { phase });
  }
  paused(facts: object): void {
    this.#note('paused', facts);
  }
  tryFailed({ kind, error }: { kind: string; error: UpstreamError }): void {
    this.#note('tryFailed', { kind, reason: error.reason });
  }
  retried(facts: object): void {
    this.#note('retried', facts);
  }
  refused(facts: object): void {
    this.#note('refused', facts);
  }
  refusedTlsFiles(facts: object): void {
    this.#note('refusedTlsFiles', facts);
  }
  unusableCredentials(facts: object): void {
    this.#note('unusableCredentials', facts);
  }

  doubtfulCredentials(facts: object): void {
    this.#note('doubtfulCredentials', facts);
  }

  named(name: string): readonly Event[] {
    return this.events.filter((event) => event.name === name);
  }

  #note(name: string, facts: object): void {
    this.events.push({ name, facts: { ...facts } });
  }
}

/** A client of the registry at `url`, closed after the test. */
export function upstreamAt(
  url: string,
  config: Partial<UpstreamConfig> = {},
  options: Partial<OpenUpstreamOptions> = {},
): Upstream {
  const upstream = openUpstream(
    {
      name: 'test.example',
      url,
      default: false,
      prefixes: [],
      hosts: [],
      trustedHosts: [],
      tagTtlMs: 60_000,
      maxStaleMs: 60_000,
      ...config,
    },
    { clock: systemClock, version: '0.0.0-test', ...options },
  );
  onTestFinished(async () => upstream.close());
  return upstream;
}

/** A signal that nobody aborts. */
export function never(): AbortSignal {
  return new AbortController().signal;
}

/** What the promise fails with; fails the test when it does not. */
export async function failure(promise: Promise<unknown>): Promise<UpstreamError> {
  let value: unknown;
  try {
    value = await promise;
  } catch (error) {
    return error as UpstreamError;
  }
  throw new Error(`did not fail, but gave ${JSON.stringify(value)}`);
}
