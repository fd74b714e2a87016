import type { WarmEvent } from '../warm/warm-events.ts';
import { printBytes } from '../quantity-text.ts';

type EventOf<Name extends WarmEvent['event']> = Extract<WarmEvent, { event: Name }>;

/** A failure, as a person reads it. */
export function failureText({ image, place, digest, reason, message }: EventOf<'failed'>): string {
  const what = digest === undefined ? '' : ` ${digest}:`;
  const where = place === undefined ? '' : ` (${place})`;
  return `${image}${where}:${what} ${message} [${reason}]`;
}

/** What became of an image. */
export function imageText(event: EventOf<'image'>, isDry: boolean): string {
  const { image, isWhole, fetchedBytes, presentBytes, atLeast } = event;
  const fetched = event.manifests.fetched + event.blobs.fetched;
  const least = atLeast ? 'at least ' : '';
  if (!isWhole) return `${image}: not whole, ${printBytes(fetchedBytes)} fetched`;
  if (fetched === 0) return `${image}: was here, ${printBytes(presentBytes)}`;
  return `${image}: ${isDry ? `lacks ${least}` : ''}${printBytes(fetchedBytes)}${isDry ? '' : ' fetched'}, ${printBytes(presentBytes)} here`;
}

/** `40 s`, `3 min`, `2 h 5 min`. */
export function durationText(seconds: number): string {
  if (seconds < 100) return `${Math.ceil(seconds)} s`;
  const minutes = Math.ceil(seconds / 60);
  if (minutes < 100) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
