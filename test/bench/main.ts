import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, loadavg, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import type { Calculation } from './calculation.ts';
import { figureLines, summarise } from './figure.ts';
import { findProgram, versionOf } from './find-program.ts';
import { leaveNothingBehind } from './leftovers.ts';
import { findPeers, type PeersHere } from './peers/all-peers.ts';
import { bundleImport } from './scenarios/bundle-import.ts';
import { bundle } from './scenarios/bundle.ts';
import { cold100 } from './scenarios/cold-100.ts';
import { cold } from './scenarios/cold.ts';
import { evictionPolicy } from './scenarios/eviction-policy.ts';
import { idle } from './scenarios/idle.ts';
import { micro } from './scenarios/micro.ts';
import { mixed } from './scenarios/mixed.ts';
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
import { Skipped } from './skipped.ts';
import { type Scenario, Workbench, type WorkbenchOptions } from './workbench.ts';

/**
 * `npm run bench [-- --quick] [-- --only NAME] [-- --minutes LIMIT] [-- --markdown]`: the figures of the product, each as a ratio of two things
 * measured in the same run on the same machine. nginx is the upstream; contestants are entrepot and every peer that is
 * here; download.ts, curl and wrk are the clients. What only computes needs none of them. Prints a table, writes
 * .bench/result.json; with --markdown it ends with the README's table. Ends with 0 when everything was measured, whether
 * or not the targets were met; with 1 when something failed.
 */

const SCENARIOS: readonly Scenario[] = [
  peerCold,
  peerFanOut,
  peerWarm,
  peerManifests,
  peerSmall,
  peerImage,
  peerMany,
  cold,
  cold100,
  slowLine,
  wideArea,
  startUp,
  idle,
  pulls200,
  mixed,
  scale,
  bundle,
  bundleImport,
];
const CALCULATIONS: readonly Calculation[] = [evictionPolicy, micro];
const ROUNDS = 5;
const QUICK_ROUNDS = 2;
/** For all of it, where `--minutes` says nothing. */
const LIMIT_MINUTES = 120;
const RESULT = join('.bench', 'result.json');

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string', multiple: true },
    minutes: { type: 'string', default: String(LIMIT_MINUTES) },
  },
});
leaveNothingBehind();
setTimeout(
  () => {
    say('the bench took too long');
    process.exit(1);
  },
  Number(options.minutes) * 60_000,
).unref();
process.exitCode = await main();

async function main(): Promise<number> {
  const names = [...SCENARIOS, ...CALCULATIONS].map(({ name }) => name);
  const unknown = options.only?.filter((name) => !names.includes(name)) ?? [];
  if (unknown.length > 0) {
    say(`unknown: ${unknown.join(', ')}. There are: ${names.join(', ')}`);
    return 2;
  }
  const wanted = ({ name }: { readonly name: string }) => options.only?.includes(name) ?? true;
  const results: Record<string, unknown> = {};
  for (const calculation of CALCULATIONS.filter(wanted))
    results[calculation.name] = await calculate(calculation);
  const measured = await measureAll(SCENARIOS.filter(wanted));
  await mkdir('.bench', { recursive: true });
  const at = new Date().toISOString();
  const all = { ...results, ...measured.results };
  await writeFile(RESULT, JSON.stringify({ at, ...measured, results: all }, undefined, 2));
  say(`\nwritten to ${RESULT}`);
  return measured.failed ? 1 : 0;
}

async function calculate(calculation: Calculation): Promise<unknown> {
  say(`\n${calculation.name}: ${calculation.says}`);
  const { lines, figures, data } = await calculation.run({ quick: options.quick });
  for (const line of [...lines, ...figureLines(figures)]) say(line === '' ? line : `  ${line}`);
  return { figures: figures.map((figure) => ({ figure, summary: summarise(figure) })), data };
}

/** What was measured, and on what; nothing without an upstream. */
async function measureAll(scenarios: readonly Scenario[]) {
  const results: Record<string, unknown> = {};
  if (scenarios.length === 0) return { failed: false, results };
  const nginx = await findProgram('nginx');
  if (nginx === undefined) {
    say('bench: skipped, nginx is missing, the upstream; on Debian: apt-get install nginx-light');
    return { failed: false, results };
  }
  const peers = await findPeers();
  const machine = await describeMachine(nginx, peers);
  for (const [name, value] of Object.entries(machine)) say(`${name}: ${value}`);
  const rounds = options.quick ? QUICK_ROUNDS : ROUNDS;
  const settings = { nginx, contestants: peers.contestants, rounds, quick: options.quick };
  let failed = false;
  for (const scenario of scenarios) {
    say(`\n${scenario.name}: ${scenario.says}; ${rounds} rounds`);
    try {
      const needs = scenario.needs?.(options);
      results[scenario.name] = await measure(scenario, { ...settings, needs });
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
async function measure(scenario: Scenario, settings: WorkbenchOptions): Promise<unknown> {
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
