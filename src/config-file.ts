import { type Document, LineCounter, parseDocument, visit } from 'yaml';
import { readText } from './config-file-text.ts';
import type { Problems } from './config-problem.ts';
import { substitute } from './config-text.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/** More than any configuration; bounds what a wrong path (a device, a database) can cost. */
const FILE_BYTES_LIMIT = 1024 * 1024;
const DEPTH_LIMIT = 20;

/**
 * The file's values with the environment's put in; an empty file is an empty mapping. A key without a value is as good
 * as absent. `undefined` when the file cannot be read or is not YAML, which is then among the problems.
 */
export function readConfigFile(file: string, environment: Environment, problems: Problems): unknown {
  const text = readText(file, FILE_BYTES_LIMIT);
  if ('reason' in text) {
    problems.add([file], `the configuration file cannot be read: ${text.reason}`);
    return undefined;
  }
  const lines = new LineCounter();
  // Pretty errors would quote the line, which may hold a password.
  const document = parseDocument(text.content, {
    version: '1.2',
    schema: 'core',
    lineCounter: lines,
    prettyErrors: false,
  });
  const faults = [...document.errors, ...document.warnings];
  for (const fault of faults) {
    const { line, col } = lines.linePos(fault.pos[0]);
    const sentence = fault.message.replace(/:?\s*["'`][\s\S]*$/, '');
    problems.add([file], `line ${line}, column ${col}: ${sentence}`);
  }
  const places = faults.length > 0 ? [] : aliasesWithoutAnchor(document);
  for (const place of places) {
    const { line, col } = lines.linePos(place);
    const message = 'an alias without an anchor; text that begins with * goes in quotes';
    problems.add([file], `line ${line}, column ${col}: ${message}`);
  }
  if (faults.length + places.length > 0) return undefined;
  try {
    return resolved(document.toJS({ maxAliasCount: 100 }) ?? {}, [], environment, problems);
  } catch (error) {
    problems.add(
      [file],
      `the aliases in it cannot be resolved (${error instanceof Error ? error.name : 'unknown'})`,
    );
    return undefined;
  }
}

/** Where they begin: what begins with a star is an alias in YAML, and as a pattern it is easily written without quotes. */
function aliasesWithoutAnchor(document: Document): readonly number[] {
  const anchors = new Set<string>();
  const places: number[] = [];
  visit(document, {
    Value: (_key, { anchor }) => {
      if (anchor !== undefined) anchors.add(anchor);
    },
    Alias: (_key, alias) => {
      if (!anchors.has(alias.source)) places.push(alias.range?.[0] ?? 0);
    },
  });
  return places;
}

function resolved(
  value: unknown,
  path: readonly string[],
  environment: Environment,
  problems: Problems,
): unknown {
  if (typeof value === 'string') {
    return substitute(value, environment, (message) => problems.add(path, message));
  }
  if (typeof value !== 'object' || value === null) return value;
  if (path.length > DEPTH_LIMIT) throw new RangeError('too deep');
  if (Array.isArray(value)) {
    return value.map((item, index) => resolved(item, [...path, String(index)], environment, problems));
  }
  const entries = Object.entries(value).filter(([key]) => {
    if (key === '__proto__') problems.add([...path, key], 'is not a key');
    return key !== '__proto__';
  });
  return Object.fromEntries(
    entries.map(([key, item]) => [key, present(resolved(item, [...path, key], environment, problems), path)]),
  );
}

/** `quay.io:` alone is an upstream with all its defaults; any other key without a value is absent. */
function present(value: unknown, parent: readonly string[]): unknown {
  if (value !== null) return value;
  return parent.length === 1 && parent[0] === 'upstreams' ? {} : undefined;
}
