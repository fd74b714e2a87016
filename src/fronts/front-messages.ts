import type { CertificatePair } from '../http/server-certificate.ts';

/** What an owner and a front say to each other over the channel that Node keeps between a process and its child. */

export type OwnerMessage =
  | FrontBegin
  /** What this listener shows from now on. */
  | { readonly kind: 'certificate'; readonly listener: number; readonly pair: CertificatePair }
  /** A client's connection comes with it. */
  | { readonly kind: 'connection'; readonly listener: number; readonly connection: number }
  /** No more connections come; those that are there may go on for so long. The front ends then. */
  | { readonly kind: 'close'; readonly graceMs: number }
  /** No answer of before this generation is to be given again. */
  | { readonly kind: 'forget'; readonly generation: number }
  | { readonly kind: 'ping' };

export interface FrontBegin {
  readonly kind: 'begin';
  /** Of the owner's program. A front of another one may understand nothing else of what he says. */
  readonly version: string;
  /** Where the owner takes requests, and what shows that they come from this front. */
  readonly ownerPath: string;
  readonly token: string;
  /** One for each listener: a private path that nobody connects to. */
  readonly listeners: readonly { readonly path: string; readonly pair?: CertificatePair | undefined }[];
}

export type FrontMessage =
  | { readonly kind: 'ready' }
  /** It is of this version, and not of the owner's: it ends. */
  | { readonly kind: 'stranger'; readonly version: string }
  /** These connections are no more. */
  | { readonly kind: 'closed'; readonly connections: readonly number[] }
  /** These requests are none any more: their clients left before it took an answer, or it could not take it. */
  | { readonly kind: 'left'; readonly requests: readonly number[] }
  | { readonly kind: 'carried'; readonly reports: readonly CarriedReport[] }
  | { readonly kind: 'repeated'; readonly reports: readonly RepeatedReport[] }
  /** What was lent before this generation is not given again. */
  | { readonly kind: 'forgotten'; readonly generation: number }
  | { readonly kind: 'pong'; readonly cpuSeconds: number; readonly residentBytes: number };

/** How far a loan is. */
export interface CarriedReport {
  readonly loan: number;
  /** Bytes of the stretch that were handed to the client's connection. */
  readonly sentBytes: number;
  /** From the grant to the first of them; absent: none was. */
  readonly firstByteMs?: number | undefined;
  readonly state: 'going on' | 'whole' | 'broken off';
}

/** A request that a front answered as an equal one was answered before. */
export interface RepeatedReport {
  /** What the owner called that answer. */
  readonly answer: number;
  /** The request's id, as it was told to the client. */
  readonly id: string;
  readonly client: string;
  /** From the request to the end of its answer, and to its beginning. */
  readonly ms: number;
  readonly firstByteMs: number;
  readonly isComplete: boolean;
}

/** Of what is told of a version. */
const VERSION_LENGTH = 100;

/** @returns `undefined` for what is none */
export function frontMessage(message: unknown): FrontMessage | undefined {
  const fields = fieldsOf(message);
  switch (fields['kind']) {
    case 'ready':
      return { kind: 'ready' };
    case 'stranger':
      return { kind: 'stranger', version: String(fields['version']).slice(0, VERSION_LENGTH) };
    case 'closed':
      return { kind: 'closed', connections: listOf(fields['connections']).filter(isNumber) };
    case 'left':
      return { kind: 'left', requests: listOf(fields['requests']).filter(isNumber) };
    case 'carried':
      return { kind: 'carried', reports: listOf(fields['reports']).flatMap(reportOf) };
    case 'repeated':
      return { kind: 'repeated', reports: listOf(fields['reports']).flatMap(repeatedOf) };
    case 'forgotten': {
      const { generation } = fields;
      return isNumber(generation) ? { kind: 'forgotten', generation } : undefined;
    }
    case 'pong': {
      const { cpuSeconds, residentBytes } = fields;
      return isNumber(cpuSeconds) && isNumber(residentBytes)
        ? { kind: 'pong', cpuSeconds, residentBytes }
        : undefined;
    }
    default:
      return undefined;
  }
}

function reportOf(report: unknown): readonly CarriedReport[] {
  const { loan, sentBytes, firstByteMs, state } = fieldsOf(report);
  if (!isNumber(loan) || !isNumber(sentBytes)) return [];
  if (state !== 'going on' && state !== 'whole' && state !== 'broken off') return [];
  return [{ loan, sentBytes, state, ...(isNumber(firstByteMs) && { firstByteMs }) }];
}

function repeatedOf(report: unknown): readonly RepeatedReport[] {
  const { answer, id, client, ms, firstByteMs, isComplete } = fieldsOf(report);
  if (!isNumber(answer) || !isNumber(ms) || !isNumber(firstByteMs)) return [];
  if (typeof id !== 'string' || typeof client !== 'string') return [];
  return [{ answer, id, client, ms, firstByteMs, isComplete: isComplete === true }];
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function isNumber(value: unknown): value is number {
  return typeof value === 'number' && value >= 0;
}
