import type { Interval } from '../content/intervals.ts';
import type { RestingFile } from '../content/resting-file.ts';

/** On an answer to a front, with the client's head and no body: the front is to send this stretch of this file. */
export const GRANT_HEADER = 'x-entrepot-file';

export interface Grant {
  /** What the front says how it went of, and gives it back by. */
  readonly loan: number;
  readonly file: RestingFile;
  readonly stretch: Interval;
}

export function printGrant({ loan, file, stretch }: Grant): string {
  const { path, sizeBytes, modifiedAt } = file;
  return [loan, stretch.start, stretch.end, sizeBytes, modifiedAt, encodeURIComponent(path)].join(' ');
}

/** @returns `undefined` for what is none */
export function parseGrant(text: string): Grant | undefined {
  const [path, ...numbers] = text.split(' ').toReversed();
  const [modifiedAt, sizeBytes, end, start, loan] = numbers.map(Number);
  if (path === undefined || modifiedAt === undefined || sizeBytes === undefined) return undefined;
  if (end === undefined || start === undefined || loan === undefined) return undefined;
  const isSound = loan >= 0 && start >= 0 && start < end && end <= sizeBytes && Number.isFinite(modifiedAt);
  const decoded = decodedPath(path);
  if (!isSound || decoded === undefined) return undefined;
  return { loan, stretch: { start, end }, file: { path: decoded, sizeBytes, modifiedAt } };
}

function decodedPath(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
