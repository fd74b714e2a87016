import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type EntrepotProcess, startEntrepot } from '../bench/entrepot-process.ts';
import { tableLines } from '../bench/figure.ts';
import { pull, type Pulled } from './pull.ts';
import { type DemoImage, DemoUpstream, type UpstreamSaw } from './upstream.ts';

/**
 * `npm run demo`: an upstream registry with two generated images, the built proxy in front of it, five pulls, and what
 * each of them took. Needs no internet and no Docker. Ends with 0 when every byte was right and the upstream saw what it
 * should.
 */

interface Step {
  readonly name: string;
  readonly image: number;
  readonly clients: number;
  /** How many blob bytes the upstream sends, as a multiple of one client's pull. */
  readonly fetches: 0 | 1;
  /** The upstream's process is ended before it. */
  readonly upstreamAway?: boolean;
}

const STEPS: readonly Step[] = [
  { name: 'cold', image: 0, clients: 1, fetches: 1 },
  { name: 'cold, 8 clients at once', image: 1, clients: 8, fetches: 1 },
  { name: 'warm', image: 0, clients: 1, fetches: 0 },
  { name: 'warm, 8 clients at once', image: 1, clients: 8, fetches: 0 },
  { name: 'upstream away', image: 0, clients: 1, fetches: 0, upstreamAway: true },
];
const LIMIT_MS = 60_000;
const MIB = 1024 * 1024;

interface Outcome {
  readonly cells: readonly string[];
  readonly problems: readonly string[];
}

// The proxy ends with this process (server-process.ts), the upstream too (it sees its parent go).
setTimeout(() => {
  say('the demo took too long');
  process.exit(1);
}, LIMIT_MS).unref();
process.exitCode = await main();

async function main(): Promise<number> {
  say('Starting an upstream registry with two generated images, and entrepot in front of it ...');
  const dir = await mkdtemp(join(tmpdir(), 'entrepot-demo-'));
  const upstream = await DemoUpstream.start();
  let entrepot: EntrepotProcess | undefined;
  try {
    // Every pull by tag asks the upstream, so that the table shows what is left to ask.
    entrepot = await startEntrepot({ dir, upstreamUrl: upstream.url, cache: { tagTtl: '0s' } });
    say(`upstream ${upstream.url}, entrepot ${entrepot.url}\n`);
    const outcomes: Outcome[] = [];
    for (const step of STEPS) outcomes.push(await play(step, { url: entrepot.url, upstream }));
    return report(outcomes);
  } finally {
    await entrepot?.process.stop();
    await upstream.stop();
    await rm(dir, { recursive: true });
  }
}

async function play(
  step: Step,
  { url, upstream }: { readonly url: string; readonly upstream: DemoUpstream },
): Promise<Outcome> {
  const image = upstream.images[step.image];
  if (!image) throw new Error(`there is no image ${step.image}`);
  if (step.upstreamAway === true) await upstream.stop();
  await upstream.saw();
  const startedMs = performance.now();
  const pulls = await Promise.all(Array.from({ length: step.clients }, async () => pull(url, image)));
  const seconds = (performance.now() - startedMs) / 1000;
  const saw = await upstream.saw();
  return {
    cells: [
      step.name,
      seconds.toFixed(2),
      (sum(pulls.map(({ bytes }) => bytes)) / MIB / seconds).toFixed(0),
      Math.max(...pulls.map(({ firstByteMs }) => firstByteMs)).toFixed(1),
      countWords(pulls.flatMap(({ outcomes }) => outcomes)),
      step.upstreamAway === true ? 'away' : `${saw.requests}, ${saw.blobRequests} for blobs`,
      (saw.blobBytes / MIB).toFixed(1),
    ],
    problems: problemsOf(step, { image, pulls, saw }),
  };
}

function problemsOf(
  step: Step,
  {
    image,
    pulls,
    saw,
  }: { readonly image: DemoImage; readonly pulls: readonly Pulled[]; readonly saw: UpstreamSaw },
): readonly string[] {
  const found = pulls.flatMap(({ problems }) => problems);
  const blobBytes = step.fetches * (pulls[0]?.blobBytes ?? 0);
  if (saw.blobBytes !== blobBytes) {
    found.push(`the upstream sent ${saw.blobBytes} bytes of blobs of ${image.repository}, not ${blobBytes}`);
  }
  return found.map((problem) => `${step.name}: ${problem}`);
}

function report(outcomes: readonly Outcome[]): number {
  const head = ['pull', 's', 'MiB/s', 'first byte ms', 'X-Cache', 'upstream requests', 'MiB of blobs'];
  for (const line of tableLines([head, ...outcomes.map(({ cells }) => cells)])) say(line);
  const problems = outcomes.flatMap(({ problems: found }) => found);
  say('\nfirst byte: the slowest of all layers and clients. Tags are asked for at every pull (tagTtl: 0s).');
  for (const problem of problems) say(problem);
  say(
    problems.length === 0
      ? 'Every body had the right digest, and the upstream sent each blob once.'
      : 'NOT as it should be.',
  );
  return problems.length === 0 ? 0 : 1;
}

/** `HIT 5, STALE 1`. */
function countWords(words: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1);
  return [...counts].map(([word, count]) => `${word} ${count}`).join(', ');
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
