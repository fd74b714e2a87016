import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
  type YAMLMap,
  type YAMLSeq,
} from 'yaml';
import { type Findings, shown } from './named-image.ts';

/** What stands in a YAML document. What aliases mean is shared, so one that is asked for often costs nothing. */
export type YamlValue = YamlMapping | YamlList | YamlScalar;

export interface YamlMapping {
  readonly kind: 'mapping';
  /** Its own, without what it merges. Keys that are no scalars are left out. */
  readonly entries: readonly { readonly key: string; readonly value: YamlValue }[];
  /** What `<<` names, first what counts most. */
  readonly merged: readonly YamlMapping[];
  readonly line: number;
}

export interface YamlList {
  readonly kind: 'list';
  readonly items: readonly YamlValue[];
  readonly line: number;
}

export interface YamlScalar {
  readonly kind: 'scalar';
  readonly value: string | number | boolean | null;
  /** From 1, as all lines here. */
  readonly line: number;
}

/** Deeper than anything that a person or a program wrote; the library's own limit is the stack. */
const DEPTH_LIMIT = 200;
/** Mappings that one mapping may take its keys from, in all. */
const MERGE_LIMIT = 64;

/**
 * The documents of a stream, one at a time, so that only one of them is in memory and others get their turn between.
 * One that is broken is a problem, and the others are read.
 */
export function* readYaml(text: string, findings: Findings): Generator<YamlValue | undefined> {
  let line = 1;
  // A line that begins so ends a document wherever it stands, also within a text (YAML 1.2, 9.1.4).
  for (const piece of text.split(/^(?=---(?:\s|$))/m)) {
    yield isBlank(piece) ? undefined : readDocument(piece, line, findings);
    line += lineBreaks(piece);
  }
}

/** What a mapping has at `key`, also by what it merges. */
export function valueOf(mapping: YamlMapping, key: string): YamlValue | undefined {
  const waiting = [mapping];
  const seen = new Set<YamlMapping>();
  for (let next = waiting.pop(); next !== undefined && seen.size < MERGE_LIMIT; next = waiting.pop()) {
    if (seen.has(next)) continue;
    seen.add(next);
    const found = next.entries.findLast((entry) => entry.key === key);
    if (found !== undefined) return found.value;
    waiting.push(...next.merged.slice(0, MERGE_LIMIT).toReversed());
  }
  return undefined;
}

/** Of a scalar: as it is read, so that `1.10` without quotes is 1.1, as it is for every client. `undefined` of null. */
export function textOf(value: YamlValue | undefined): string | undefined {
  if (value?.kind !== 'scalar' || value.value === null) return undefined;
  return String(value.value);
}

function isBlank(piece: string): boolean {
  return !/^(?!---\s*$)(?!\s*#)(?!%)\s*\S/m.test(piece);
}

function lineBreaks(text: string): number {
  let count = 0;
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) count += 1;
  return count;
}

function readDocument(text: string, firstLine: number, findings: Findings): YamlValue | undefined {
  const lineCounter = new LineCounter();
  const lineAt = (offset: number) => firstLine + Math.max(0, lineCounter.linePos(offset).line - 1);
  try {
    // Comparing each key of a mapping with each other takes minutes where there are many, and clients take the last one.
    const document = parseDocument(text, {
      lineCounter,
      uniqueKeys: false,
      prettyErrors: false,
      logLevel: 'silent',
    });
    const error = document.errors[0];
    if (error !== undefined) {
      const template = text.includes('{{') ? '; it is a template, to be rendered first (helm template)' : '';
      findings.problem(
        `this YAML cannot be read: ${oneLine(error.message)}${template}`,
        lineAt(error.pos[0]),
      );
      return undefined;
    }
    if (document.contents === null) return undefined;
    return new Reading(lineAt).value(document.contents, 0);
  } catch (error) {
    const isDeep = error instanceof RangeError || error instanceof TooDeep;
    const reason =
      error instanceof UnknownAlias ? error.message : isDeep ? 'it is nested too deep' : 'it is broken';
    findings.problem(`this YAML cannot be read: ${reason}`, firstLine);
    return undefined;
  }
}

function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, ' ').slice(0, 200);
}

class TooDeep extends Error {}
class UnknownAlias extends Error {}

type Mutable<T> = { -readonly [K in keyof T]: T[K] extends readonly (infer I)[] ? I[] : T[K] };

/** One pass over a document's nodes in the order of its text, so that an alias means the last anchor before it. */
class Reading {
  readonly #anchors = new Map<string, YamlValue>();
  readonly #lineAt: (offset: number) => number;

  constructor(lineAt: (offset: number) => number) {
    this.#lineAt = lineAt;
  }

  value(node: unknown, depth: number): YamlValue {
    if (depth > DEPTH_LIMIT) throw new TooDeep();
    if (isAlias(node)) {
      const value = this.#anchors.get(node.source);
      if (value !== undefined) return value;
      throw new UnknownAlias(`${shown(node.source)} is not defined before it is used`);
    }
    if (isMap(node)) return this.#mapping(node, depth);
    if (isSeq(node)) return this.#list(node, depth);
    const line = this.#lineOf(node);
    const scalar: YamlScalar = { kind: 'scalar', value: isScalar(node) ? plain(node.value) : null, line };
    if (isScalar(node)) this.#anchor(node.anchor, scalar);
    return scalar;
  }

  #mapping(node: YAMLMap, depth: number): YamlMapping {
    const mapping: Mutable<YamlMapping> = {
      kind: 'mapping',
      entries: [],
      merged: [],
      line: this.#lineOf(node),
    };
    this.#anchor(node.anchor, mapping);
    for (const { key: keyNode, value: valueNode } of node.items) {
      const key = this.value(keyNode, depth + 1);
      const value = this.value(valueNode, depth + 1);
      const name = textOf(key);
      if (name === '<<') {
        const merged = value.kind === 'list' ? value.items : [value];
        for (const one of merged) if (one.kind === 'mapping') mapping.merged.push(one);
      } else if (name !== undefined) mapping.entries.push({ key: name, value });
    }
    return mapping;
  }

  #list(node: YAMLSeq, depth: number): YamlList {
    const list: Mutable<YamlList> = { kind: 'list', items: [], line: this.#lineOf(node) };
    this.#anchor(node.anchor, list);
    for (const item of node.items) list.items.push(this.value(item, depth + 1));
    return list;
  }

  #anchor(name: string | undefined, value: YamlValue): void {
    if (name !== undefined) this.#anchors.set(name, value);
  }

  #lineOf(node: unknown): number {
    return this.#lineAt((node as Partial<Node> | null)?.range?.[0] ?? 0);
  }
}

function plain(value: unknown): YamlScalar['value'] {
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return value;
  return null;
}
