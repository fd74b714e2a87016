import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import type { Calculation } from './calculation.ts';
import { type Figure, figureLines, summarise } from './figure.ts';
import { bundleImport } from './scenarios/bundle-import.ts';
import { bundle } from './scenarios/bundle.ts';
import { cold100 } from './scenarios/cold-100.ts';
import { cold } from './scenarios/cold.ts';
import { evictionPolicy } from './scenarios/eviction-policy.ts';
import { fanOut } from './scenarios/fan-out.ts';
import { memory } from './scenarios/memory.ts';
import { scale } from './scenarios/scale.ts';
import { slowLine } from './scenarios/slow-line.ts';
import { warmBlob } from './scenarios/warm-blob.ts';
import { warmManifest } from './scenarios/warm-manifest.ts';
import { type Programs, type Scenario, Workbench } from './workbench.ts';

/**
 * `npm run bench [-- --quick] [-- --only NAME]`: the figures of the product, each as a ratio of two things measured in
 * the same run on the same machine. nginx is the upstream, docker-registry in proxy mode the peer; curl, wrk and
 * download.ts are the clients. What only computes needs none of them. Prints a table, writes .bench/result.json. Ends with 0
 * when everything was measured, whether or not the targets were met; with 1 when something failed.
 */

const SCENARIOS: readonly Scenario[] = [
  fanOut,
  warmBlob,
  warmManifest,
  cold,
  cold100,
  slowLine,
  memory,
  scale,
  bundle,
  bundleImport,
];
const CALCULATIONS: readonly Calculation[] = [evictionPolicy];
const ROUNDS = 5;
const QUICK_ROUNDS = 2;
/** For all of it. */
const LIMIT_MS = 30 * 60_000;
const RESULT = join('.bench', 'result.json');

const { values: options } = parseArgs({
  options: { quick: { type: 'boolean', default: false }, only: { type: 'string', multiple: true } },
});
// Its servers end with it: see server-process.ts.
setTimeout(() => {
  say('the bench took too long');
  process.exit(1);
}, LIMIT_MS).unref();
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
  for (const calculation of CALCULATIONS.filter(wanted)) results[calculation.name] = calculate(calculation);
  const measured = await measureAll(SCENARIOS.filter(wanted));
  await mkdir('.bench', { recursive: true });
  const at = new Date().toISOString();
  const all = { ...results, ...measured.results };
  await writeFile(RESULT, JSON.stringify({ at, ...measured, results: all }, undefined, 2));
  say(`\nwritten to ${RESULT}`);
  return measured.failed ? 1 : 0;
}

function calculate(calculation: Calculation): unknown {
  say(`\n${calculation.name}: ${calculation.says}`);
  const { lines, figures, data } = calculation.run({ quick: options.quick });
  for (const line of [...lines, ...figureLines(figures)]) say(line === '' ? line : `  ${line}`);
  return { figures: figures.map((figure) => ({ figure, summary: summarise(figure) })), data };
}

/** What was measured, and on what; nothing where a program is missing. */
async function measureAll(scenarios: readonly Scenario[]) {
  const results: Record<string, unknown> = {};
  const programs = scenarios.length > 0 ? await findPrograms() : undefined;
  if (!programs) return { failed: false, results };
  const machine = await describeMachine(programs);
  for (const [name, value] of Object.entries(machine)) say(`${name}: ${value}`);
  const rounds = options.quick ? QUICK_ROUNDS : ROUNDS;
  let failed = false;
  for (const scenario of scenarios) {
    say(`\n${scenario.name}: ${scenario.says}; ${rounds} rounds`);
    try {
      const figures = await measure(scenario, { programs, rounds, quick: options.quick });
      for (const line of figureLines(figures)) say(`  ${line}`);
      results[scenario.name] = figures.map((figure) => ({ figure, summary: summarise(figure) }));
    } catch (error) {
      failed = true;
      say(`  failed: ${String(error)}`);
      results[scenario.name] = { failed: String(error) };
    }
  }
  return { failed, machine, rounds, results };
}

async function measure(
  scenario: Scenario,
  settings: Parameters<typeof Workbench.open>[0],
): Promise<readonly Figure[]> {
  const bench = await Workbench.open(settings);
  try {
    return await scenario.run(bench);
  } finally {
    await bench.close();
  }
}

/** Says what is missing, and how to get it. */
async function findPrograms(): Promise<Programs | undefined> {
  const nginx = await find('nginx');
  const dockerRegistry = await find('docker-registry');
  const wrk = await find('wrk');
  const curl = await find('curl');
  if (nginx === undefined || dockerRegistry === undefined || wrk === undefined || curl === undefined)
    return undefined;
  return { nginx, dockerRegistry, wrk, curl };
}

async function describeMachine(programs: Programs): Promise<Readonly<Record<string, string>>> {
  const { stdout: commit } = await promisify(execFile)('git', ['rev-parse', '--short', 'HEAD']).catch(() => ({
    stdout: 'unknown',
  }));
  return {
    machine: `${availableParallelism()} × ${cpus()[0]?.model ?? '?'}, ${Math.round(totalmem() / 1024 ** 3)} GiB`,
    entrepot: `${commit.trim()} on Node ${process.version}`,
    upstream: await versionOf(programs.nginx, '-v'),
    peer: await versionOf(programs.dockerRegistry, '--version'),
  };
}

async function find(name: string): Promise<string | undefined> {
  const script = 'PATH="$PATH:/usr/sbin:/usr/local/sbin" command -v "$1"';
  const found = await promisify(execFile)('sh', ['-c', script, 'sh', name]).catch(() => undefined);
  if (!found) say(`bench: skipped, ${name} is missing; on Debian: apt-get install ${name}`);
  return found?.stdout.trim();
}

async function versionOf(file: string, argument: string): Promise<string> {
  const { stdout, stderr } = await promisify(execFile)(file, [argument]);
  return (stdout + stderr).trim().split('\n')[0] ?? '';
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
