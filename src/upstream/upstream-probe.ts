import type { LookupFunction } from 'node:net';
import type { Clock } from '../clock.ts';
import type { UpstreamConfig } from '../config.ts';
import { MANIFEST_MEDIA_TYPES } from '../oci/media-type.ts';
import {
  parseReference,
  parseRepositoryName,
  type Reference,
  type RepositoryName,
} from '../oci/reference.ts';
import { discard } from './bounded-body.ts';
import { parseChallenges } from './challenge.ts';
import { Deadline } from './deadline.ts';
import { openUpstream } from './open-upstream.ts';
import { probeConnection, probeName } from './probe-connection.ts';
import { PROBE_STEPS, type ProbeReport, type ProbeStep } from './probe-report.ts';
import { placeOf } from './host-trust.ts';
import { ProxyRoute } from './proxy-route.ts';
import { proxyName } from './proxy-tunnel.ts';
import { RegistryHost } from './registry-host.ts';
import type { StepResult } from './step-result.ts';
import { UpstreamError } from './upstream-error.ts';
import { type RateLimitReport, silentObserver, type UpstreamObserver } from './upstream-observer.ts';

export interface ProbeOptions {
  readonly config: UpstreamConfig;
  /** Where it is configured, for messages. Default: `upstreams.<name>`. */
  readonly keyPath?: string | undefined;
  readonly clock: Clock;
  /** entrepot's, for `User-Agent`. */
  readonly version: string;
  /** What is asked for by HEAD. Absent: something that no registry has. */
  readonly image?: { readonly repository: RepositoryName; readonly reference: Reference } | undefined;
  /** For all of it. */
  readonly limitMs: number;
  /** In place of `dns.lookup`, for tests of name resolution. */
  readonly lookup?: LookupFunction | undefined;
}

const NOTHING = {
  repository: parseRepositoryName('entrepot-check/no-such-repository'),
  reference: parseReference('none'),
};
/** Certificates and tokens tell no nearer than this; HTTP dates have whole seconds. */
const SKEW_WARNING_MS = 30_000;
/** Token lifetimes begin at a minute, and signed URLs of clouds are refused from some minutes on. */
const SKEW_LIMIT_MS = 300_000;

/**
 * Asks one upstream what a pull would ask, and nothing that counts: its name, a connection, `/v2/`, a token, the HEAD of
 * a manifest. Ends in `limitMs`.
 * @throws the signal's reason
 */
export async function probeUpstream(options: ProbeOptions, signal: AbortSignal): Promise<ProbeReport> {
  const { config, clock, limitMs, lookup, keyPath = `upstreams.${config.name}` } = options;
  const url = new URL(config.url);
  const report = new Report();
  const deadline = new Deadline({ clock, ms: limitMs, message: `no answer in ${limitMs} ms` }, signal);
  try {
    const proxy = new ProxyRoute(config.proxy).serverFor(url.protocol, placeOf(url));
    if (proxy === undefined) {
      await report.run('name', async () => probeName(url, lookup, deadline.signal));
      await report.run('connection', async () =>
        probeConnection({ url, tls: config.tls, keyPath, nowMs: clock.now(), lookup }, deadline.signal),
      );
    } else {
      // The proxy's business; what it cannot reach shows in what follows.
      const skipped = { outcome: 'skipped', detail: `by the proxy ${proxyName(proxy)}` } as const;
      report.set('name', skipped);
      report.set('connection', skipped);
    }
    await report.run('api', async () => probeApi(options, report, deadline.signal));
    await probeManifest(options, report, deadline.signal);
  } finally {
    deadline.close();
  }
  signal.throwIfAborted();
  return report.finished();
}

/**
 * Tries the account that asks about one repository, whether that exists or not: a token, and a HEAD. Ends in `limitMs`.
 * @throws the signal's reason
 */
export async function probeAccount(
  options: Omit<ProbeOptions, 'image'> & { readonly repository: RepositoryName },
  signal: AbortSignal,
): Promise<Partial<ProbeReport>> {
  const { clock, limitMs } = options;
  const report = new Report();
  const deadline = new Deadline({ clock, ms: limitMs, message: `no answer in ${limitMs} ms` }, signal);
  try {
    await probeManifest(options, report, deadline.signal);
  } finally {
    deadline.close();
  }
  signal.throwIfAborted();
  return report.results();
}

/** Results as they come; after the first failure everything else is skipped. */
class Report {
  readonly #results = new Map<ProbeStep, StepResult>();
  #failed: ProbeStep | undefined;

  set(step: ProbeStep, result: StepResult): void {
    this.#results.set(step, result);
    if (result.outcome === 'failed' && step !== 'clock') this.#failed ??= step;
  }

  get hasFailed(): boolean {
    return this.#failed !== undefined;
  }

  async run(step: ProbeStep, look: () => Promise<StepResult>): Promise<void> {
    if (this.#failed !== undefined) return;
    try {
      this.set(step, await look());
    } catch (error) {
      this.set(step, failure(error));
    }
  }

  results(): Partial<ProbeReport> {
    return Object.fromEntries(this.#results);
  }

  finished(): ProbeReport {
    const detail = this.#failed === undefined ? 'not needed' : `${this.#failed} failed`;
    const skipped: StepResult = { outcome: 'skipped', detail };
    return Object.fromEntries(
      PROBE_STEPS.map((step) => [step, this.#results.get(step) ?? skipped]),
    ) as Record<ProbeStep, StepResult>;
  }
}

async function probeApi(options: ProbeOptions, report: Report, signal: AbortSignal): Promise<StepResult> {
  const { config, clock, version, lookup, keyPath = `upstreams.${config.name}` } = options;
  const host = new RegistryHost({ config, keyPath, clock, version, lookup, onAvailability: () => undefined });
  try {
    const request = {
      method: 'GET',
      headers: {},
      highWaterMarkBytes: 64 * 1024,
      onBytes: () => undefined,
    } as const;
    const askedAtMs = clock.now();
    const response = await host.transport.request({ ...request, url: host.url('/v2/') }, signal);
    discard(response.body);
    report.set('clock', clockResult(response.headers.one('date'), (askedAtMs + clock.now()) / 2));
    const { status } = response;
    if (status === 200) return { outcome: 'ok', detail: '200, open' };
    if (status !== 401)
      return {
        outcome: 'failed',
        detail: `${host.base.host} answered ${status} to /v2/: not a registry, or not now`,
      };
    const challenges = parseChallenges(response.headers.all('www-authenticate'));
    if (challenges.length === 0) return { outcome: 'warning', detail: '401, without a challenge' };
    const kinds = challenges.map(({ scheme, parameters }) => challengeText(scheme, parameters.get('realm')));
    return { outcome: 'ok', detail: `401, ${kinds.join(', ')}` };
  } finally {
    await host.close();
  }
}

/** The realm's host only: its path and query may hold anything. */
function challengeText(scheme: string, realm: string | undefined): string {
  const host = realm !== undefined && URL.canParse(realm) ? new URL(realm).host : undefined;
  const name = scheme.slice(0, 20);
  return name === 'bearer' && host !== undefined ? `${name} from ${host}` : name;
}

function clockResult(date: string | undefined, nowMs: number): StepResult {
  const theirs = Date.parse(date ?? '');
  if (Number.isNaN(theirs)) return { outcome: 'skipped', detail: 'no Date header' };
  // Whole seconds, cut off: on average half of one has passed.
  const skewMs = theirs + 500 - nowMs;
  const seconds = Math.round(Math.abs(skewMs) / 1000);
  if (Math.abs(skewMs) < SKEW_WARNING_MS) return { outcome: 'ok', detail: `${seconds} s apart` };
  const detail = `ours is ${seconds} s ${skewMs > 0 ? 'behind' : 'ahead'}`;
  return { outcome: Math.abs(skewMs) < SKEW_LIMIT_MS ? 'warning' : 'failed', detail };
}

/** By the client that serves pulls, so that what it signs in with, follows and refuses is what is tried. */
async function probeManifest(
  options: ProbeOptions & { readonly repository?: RepositoryName },
  report: Report,
  signal: AbortSignal,
): Promise<void> {
  if (report.hasFailed) return;
  const { config, keyPath, clock, version, lookup, repository = NOTHING.repository } = options;
  const { image = { ...NOTHING, repository } } = options;
  const seen: Seen = { tokenCodes: [], refusedRealm: undefined, quota: undefined };
  const upstream = openUpstream(config, { keyPath, clock, version, lookup, observer: observerInto(seen) });
  let result: StepResult;
  try {
    const { digest } = await upstream.headManifest(
      image.repository,
      image.reference,
      { accept: MANIFEST_MEDIA_TYPES, patienceMs: 0 },
      signal,
    );
    result = { outcome: 'ok', detail: digest ?? 'there; a HEAD tells no digest' };
  } catch (error) {
    result = manifestFailure(error, {
      isNothing: options.image === undefined,
      isSignedIn: seen.tokenCodes.includes(200),
    });
  } finally {
    await upstream.close();
  }
  if (seen.tokenCodes.length > 0) report.set('token', tokenResult(seen.tokenCodes));
  else if (seen.refusedRealm !== undefined)
    report.set('token', {
      outcome: 'failed',
      detail: `not asked at ${seen.refusedRealm}: name it in trustedHosts`,
    });
  report.set('manifest', result);
  report.set('quota', quotaResult(seen.quota));
}

/** What the client tells of that the answer does not. */
interface Seen {
  readonly tokenCodes: (number | 'error')[];
  refusedRealm: string | undefined;
  quota: RateLimitReport | undefined;
}

function observerInto(seen: Seen): UpstreamObserver {
  return {
    ...silentObserver,
    requestFinished: ({ kind, code }) => {
      if (kind === 'token') seen.tokenCodes.push(code);
    },
    rateLimit: (report) => {
      seen.quota = report;
    },
    refused: ({ what, host }) => {
      if (what === 'realm') seen.refusedRealm = host;
    },
  };
}

function tokenResult(codes: readonly (number | 'error')[]): StepResult {
  const last = codes.at(-1);
  if (last === 200) return { outcome: 'ok', detail: 'given' };
  return { outcome: 'failed', detail: last === 'error' ? 'no answer' : `refused with ${last}` };
}

function manifestFailure(
  error: unknown,
  { isNothing, isSignedIn }: { readonly isNothing: boolean; readonly isSignedIn: boolean },
): StepResult {
  const reason = error instanceof UpstreamError ? error.reason : undefined;
  if (isNothing && reason === 'not-found')
    return { outcome: 'ok', detail: 'what does not exist is not found, as it should be' };
  // Many registries say so of what does not exist, too.
  if (isNothing && reason === 'denied' && isSignedIn)
    return {
      outcome: 'warning',
      detail: 'signed in, and refused what does not exist; --image names what does',
    };
  return failure(error);
}

function quotaResult(quota: RateLimitReport | undefined): StepResult {
  if (quota === undefined) return { outcome: 'skipped', detail: 'none told' };
  const { limit = '?', remaining = '?', account } = quota;
  const detail = `${remaining} of ${limit} left (${account})`;
  return { outcome: remaining === 0 ? 'warning' : 'ok', detail };
}

/** @throws what is not an upstream's failure */
function failure(error: unknown): StepResult {
  if (!(error instanceof UpstreamError)) throw error;
  const { message, status } = error;
  const answered = status === undefined || message.includes(String(status)) ? '' : ` (${status})`;
  return { outcome: 'failed', detail: `${message}${answered}` };
}
