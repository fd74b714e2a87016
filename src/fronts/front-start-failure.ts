import { StartError } from '../start-error.ts';
import type { LostFront } from './front-restarts.ts';

/** Of what a front said. */
const WORDS_LENGTH = 300;

/** Why a server cannot start whose front ended before it served: whatever that is, the next one has it too. */
export function frontStartFailure({ pid, end, otherVersion }: LostFront, version: string): StartError {
  if (otherVersion !== undefined) {
    const both = `A worker is of version ${otherVersion}, and this process of ${version}`;
    return new StartError(`${both}: entrepot was replaced while it started.`);
  }
  const { code, signal, lastWords } = end;
  const how =
    pid === undefined
      ? 'A worker could not be started'
      : `A worker ended as soon as it was started (${signal ?? `exit code ${code}`})`;
  const lines = lastWords.split('\n').map((line) => line.trim());
  const words = lines.find((line) => /^\w*Error\b/.test(line)) ?? lines.findLast((line) => line !== '');
  return new StartError(words === undefined ? `${how}.` : `${how}: ${words.slice(0, WORDS_LENGTH)}`);
}
