import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { runProgram } from '../support/child-program.ts';
import { describeWith, programPath } from '../support/programs.ts';
import { metricNames, namesIn } from './metric-names.ts';

const DEPLOY = join(import.meta.dirname, '..', '..', 'deploy', 'prometheus');
const CASES = join(import.meta.dirname, 'prometheus');

interface Rule {
  readonly record?: string;
  readonly alert?: string;
  readonly expr: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

async function rulesOf(file: string): Promise<readonly Rule[]> {
  const text = await readFile(join(DEPLOY, file), 'utf8');
  const { groups } = parse(text) as { groups: readonly { rules: readonly Rule[] }[] };
  return groups.flatMap(({ rules }) => rules);
}

async function casesOf(file: string) {
  const text = await readFile(join(CASES, file), 'utf8');
  const { tests } = parse(text) as {
    tests: readonly { name: string; promql_expr_test: readonly { exp_samples: readonly unknown[] }[] }[];
  };
  return tests.flatMap(({ name, promql_expr_test: tried }) =>
    tried.map(({ exp_samples: expected }) => ({
      alert: name.split(':')[0] ?? '',
      fires: expected.length > 0,
    })),
  );
}

describe('the rules for Prometheus', () => {
  it('ask only for what there is', async () => {
    const recording = await rulesOf('entrepot.rules.yml');
    const known = new Set([...(await metricNames()), ...recording.map(({ record }) => record ?? '')]);
    const all = [...recording, ...(await rulesOf('entrepot.alerts.yml'))];
    const asked = all.flatMap(({ expr }) => namesIn(expr));
    expect(asked.length).toBeGreaterThan(all.length);
    expect(asked.filter((name) => !known.has(name))).toEqual([]);
  });

  it('have a runbook, a severity and words for each alert', async () => {
    for (const { alert, labels, annotations } of await rulesOf('entrepot.alerts.yml')) {
      expect(labels?.['severity'], alert).toMatch(/^(?:info|warning|critical)$/);
      for (const key of ['summary', 'description', 'runbook'])
        expect(annotations?.[key]?.length, `${alert}: ${key}`).toBeGreaterThan(20);
    }
  });

  it('have a case in which each alert fires, and one in which it does not', async () => {
    const cases = [...(await casesOf('alerts.yml')), ...(await casesOf('alerts-slow.yml'))];
    const without = (await rulesOf('entrepot.alerts.yml')).flatMap(({ alert }) =>
      [true, false].flatMap((fires) =>
        cases.some((one) => one.alert === alert && one.fires === fires) ? [] : [`${alert}: ${fires}`],
      ),
    );
    expect(without).toEqual([]);
  });
});

describeWith({ programs: ['promtool'] }, 'promtool', () => {
  it('takes the rules and the scrape', async () => {
    const files = ['entrepot.rules.yml', 'entrepot.alerts.yml'].map((file) => join(DEPLOY, file));
    const rules = await runProgram(programPath('promtool'), ['check', 'rules', ...files]);
    expect(rules, rules.stderr).toMatchObject({ code: 0 });
    const scrape = ['check', 'config', '--syntax-only', join(DEPLOY, 'prometheus.yml')];
    const config = await runProgram(programPath('promtool'), scrape);
    expect(config, config.stderr).toMatchObject({ code: 0 });
  });

  it.each(['alerts.yml', 'alerts-slow.yml'])(
    'has every alert of %s fire when it should, and only then',
    {
      timeout: 120_000,
    },
    async (file) => {
      const { code, stdout, stderr } = await runProgram(programPath('promtool'), [
        'test',
        'rules',
        join(CASES, file),
      ]);
      expect(code, stdout + stderr).toBe(0);
    },
  );
});
