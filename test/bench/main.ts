import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, loadavg, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import type { Calculation } from './calculation.ts';
import { type Figure, figureLines, type Summary, summarise } from './figure.ts';
import { findProgram, versionOf } from './find-program.ts';
import { leaveNothingBehind } from './leftovers.ts';
import { type BenchOptions, benchOptions, BenchUsageError } from './options.ts';
import { readmeTable } from './readme-table.ts';
import { checkResultFile } from './result-file.ts';
import { findPeers, PEER_NAMES, type PeersHere } from './peers/all-peers.ts';
import { bundleImport } from './scenarios/bundle-import.ts';
import { bundle } from './scenarios/bundle.ts';
import { cold100 } from './scenarios/cold-100.ts';
import { evictionPolicy } from './scenarios/eviction-policy.ts';
import { idle } from './scenarios/idle.ts';
import { micro } from './scenarios/micro.ts';
import { mixed } from './scenarios/mixed.ts';
import { neighbours } from './scenarios/neighbours.ts';
import { peerCold } from './scenarios/peer-cold.ts';
import { peerFanOut } from './scenarios/peer-fan-out.ts';
import { peerImage } from './scenarios/peer-image.ts';
import { peerManifests } from './scenarios/peer-manifests.ts';
import { peerMany } from './scenarios/peer-many.ts';
import { peerSmall } from './scenarios/peer-small.ts';
import { peerWarm } from './scenarios/peer-warm.ts';
import { pulls200 } from './scenarios/pulls-200.ts';
import { scale } from './scenarios/scale.ts';
import { slowLine } from './scenarios/slow-line.ts';
import { startUp } from './scenarios/start-up.ts';
import { wideArea } from './scenarios/wide-area.ts';
import { workers, workersCold } from './scenarios/workers.ts';
import { Skipped } from './skipped.ts';
import { type Scenario, Workbench, type WorkbenchOptions } from './workbench.ts';

/**
 * `npm run bench -- [--quick] [--only NAME|peers]… [--peer NAME]… [--minutes LIMIT] [--json FILE] [--markdown]`: the
 * figures of the product, each as a ratio of two things measured in the same run on the same machine. nginx is the upstream; contestants are entrepot and every peer that is
 * here; download.ts, curl and wrk are the clients. What only computes needs none of them. Prints a table, writes
 * the JSON file; with --markdown it ends with the README's table. Ends with 0 when everything was measured, whether
 * or not the targets were met; with 1 when something failed; with 2 and a sentence, before anything is done, when it was
 * called wrongly or could not write that file.
 */

const SCENARIOS: readonly Scenario[] = [
  peerCold,
  peerFanOut,
  peerWarm,
  peerManifests,
  peerSmall,
  peerImage,
  peerMany,
  neighbours,
  cold100,
  slowLine,
  wideArea,
  startUp,
  idle,
  pulls200,
  mixed,
  workers,
  workersCold,
  scale,
  bundle,
  bundleImport,
];
const CALCULATIONS: readonly Calculation[] = [evictionPolicy, micro];
const ROUNDS = 5;
const QUICK_ROUNDS = 2;
/** For all of it, where `--minutes` says nothing. */
const LIMIT_MINUTES = 120;
const WRONG_USAGE = 2;
/** What `--only` takes for all that compare entrepot with its peers. */
const PEERS_GROUP = 'peers';

const options = await optionsOrUsage();
leaveNothingBehind();
setTimeout(() => {
  say('the bench took too long');
  process.exit(1);
}, options.minutes * 60_000).unref();
process.exitCode = await main(options);

/** Wrong usage ends it, before anything was done. */
async function optionsOrUsage(): Promise<BenchOptions> {
  const names = [...SCENARIOS, ...CALCULATIONS].map(({ name }) => name);
  const choices = { only: [PEERS_GROUP, ...names], peer: PEER_NAMES };
  const defaults = { json: join('.bench', 'result.json'), minutes: LIMIT_MINUTES };
  try {
    const given = benchOptions(process.argv.slice(2), { choices, defaults });
    await checkResultFile(given.json);
    return given;
  } catch (error) {
    if (!(error instanceof BenchUsageError)) throw error;
    process.stderr.write(`bench: ${error.message}\n`);
    process.exit(WRONG_USAGE);
  }
}

async function main({ json, only: chosen, markdown }: BenchOptions): Promise<number> {
  const wanted = ({ name }: { readonly name: string }) =>
    chosen?.some((only) => only === name || (only === PEERS_GROUP && name.startsWith('peer-'))) ?? true;
  const results: Record<string, unknown> = {};
  for (const calculation of CALCULATIONS.filter(wanted))
    results[calculation.name] = await calculate(calculation);
  const measured = await measureAll(SCENARIOS.filter(wanted));
  await mkdir(dirname(json), { recursive: true });
  const at = new Date().toISOString();
  const all = { ...results, ...measured.results };
  await writeFile(json, JSON.stringify({ at, ...measured, results: all }, undefined, 2));
  say(`\nwritten to ${json}`);
  if (markdown) for (const line of ['', ...tableOf(measured)]) say(line);
  return measured.failed ? 1 : 0;
}

async function calculate(calculation: Calculation): Promise<unknown> {
  say(`\n${calculation.name}: ${calculation.says}`);
  const { lines, figures, data } = await calculation.run({ quick: options.quick });
  for (const line of [...lines, ...figureLines(figures)]) say(line === '' ? line : `  ${line}`);
  return { figures: figures.map((figure) => ({ figure, summary: summarise(figure) })), data };
}

/** What was found out in a scenario: figures, or why there are none. */
interface Measured {
  readonly load?: string;
  readonly notes?: readonly string[];
  readonly figures?: readonly { readonly figure: Figure; readonly summary: Summary }[];
  readonly failed?: string;
  readonly skipped?: string;
}

interface MeasuredAll {
  readonly failed: boolean;
  readonly machine?: Readonly<Record<string, string>>;
  readonly rounds?: number;
  readonly results: Readonly<Record<string, Measured>>;
}

/** What was measured, and on what; nothing without an upstream. */
async function measureAll(scenarios: readonly Scenario[]): Promise<MeasuredAll> {
  const results: Record<string, Measured> = {};
  if (scenarios.length === 0) return { failed: false, results };
  const nginx = await findProgram('nginx');
  if (nginx === undefined) {
    say('bench: skipped, nginx is missing, the upstream; on Debian: apt-get install nginx-light');
    return { failed: false, results };
  }
  const peers = await findPeers(options.peer);
  const machine = await describeMachine(nginx, peers);
  for (const [name, value] of Object.entries(machine)) say(`${name}: ${value}`);
  const rounds = options.quick ? QUICK_ROUNDS : ROUNDS;
  const settings = { nginx, contestants: peers.contestants, rounds, quick: options.quick };
  let failed = false;
  for (const scenario of scenarios) {
    say(`\n${scenario.name}: ${scenario.says}; ${rounds} rounds`);
    try {
      const needs = scenario.needs?.(options);
      const { contestants = peers.contestants } = scenario;
      results[scenario.name] = await measure(scenario, { ...settings, contestants, needs });
    } catch (error) {
      const isSkipped = error instanceof Skipped;
      failed ||= !isSkipped;
      say(`  ${isSkipped ? 'skipped' : 'failed'}: ${isSkipped ? error.message : String(error)}`);
      results[scenario.name] = { [isSkipped ? 'skipped' : 'failed']: String(error) };
    }
  }
  return { failed, machine, rounds, results };
}

/** Prints what it finds. */
async function measure(scenario: Scenario, settings: WorkbenchOptions): Promise<Measured> {
  const bench = await Workbench.open(settings);
  try {
    const [loadBefore] = loadavg();
    const figures = await scenario.run(bench);
    const load = [loadBefore, loadavg()[0]].map((value) => value?.toFixed(1)).join(' → ');
    for (const line of [`load average ${load}`, ...bench.notes, ...figureLines(figures)]) say(`  ${line}`);
    const summaries = figures.map((figure) => ({ figure, summary: summarise(figure) }));
    return { load, notes: bench.notes, figures: summaries };
  } finally {
    await bench.close();
  }
}

function tableOf({ machine, rounds = 0, results }: MeasuredAll): readonly string[] {
  const all = Object.values(results);
  const loads = all.flatMap(({ load }) => load?.split(' → ') ?? []).map(Number);
  return readmeTable(
    all.flatMap(({ figures = [] }) => figures.map(({ figure }) => figure)),
    {
      date: new Date().toISOString().slice(0, 10),
      machine: machine?.['machine'] ?? '',
      load: `${Math.min(...loads).toFixed(1)} to ${Math.max(...loads).toFixed(1)}`,
      rounds,
      command: ['npm run bench --', ...process.argv.slice(2)].join(' '),
    },
  );
}

async function describeMachine(
  nginx: string,
  { contestants, missing }: PeersHere,
): Promise<Readonly<Record<string, string>>> {
  const { stdout: commit } = await promisify(execFile)('git', ['rev-parse', '--short', 'HEAD']).catch(() => ({
    stdout: 'unknown',
  }));
  return {
    machine: `${availableParallelism()} × ${cpus()[0]?.model ?? '?'}, ${Math.round(totalmem() / 1024 ** 3)} GiB`,
    commit: commit.trim(),
    upstream: await versionOf(nginx, '-v'),
    ...Object.fromEntries(
      contestants.map(({ peer, found }) => [peer.name, `${found.version}; ${peer.says}`]),
    ),
    ...Object.fromEntries(missing.map(({ name, missing: how }) => [name, `missing; ${how}`])),
  };
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
