import {
  EVENT_ID,
  type Event,
  getScalarValue,
  parseEvents,
  SCALAR_STYLE,
  type ScalarEvent,
  YAMLException,
} from 'js-yaml';
import { type Findings, shown } from './named-image.ts';
import { type YamlPiece, yamlPieces } from './yaml-pieces.ts';

/** What stands in a YAML document. What an alias means is shared, so that one which is named often costs nothing. */
export type YamlValue = YamlMapping | YamlList | YamlScalar;

export interface YamlMapping {
  readonly kind: 'mapping';
  /** Its own, without what it merges. Keys that are no scalars are left out; of several the last one counts. */
  readonly entries: ReadonlyMap<string, YamlValue>;
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
  /** Of a number as clients read it: `1.10` without quotes is 1.1. `undefined` of null. */
  readonly text: string | undefined;
  /** From 1, as all lines here. */
  readonly line: number;
}

/** Deeper than anything that a person or a program wrote. */
const DEPTH_LIMIT = 200;
/** Mappings that one mapping may take its keys from, in all. */
const MERGE_LIMIT = 64;
const NULL = /^(?:~|null|Null|NULL)?$/;
/** Of YAML's core schema (10.3.2). */
const NUMBER = /^[-+]?(?:\.\d+|\d+(?:\.\d*)?)(?:[eE][-+]?\d+)?$/;
const NUMBER_LENGTH_LIMIT = 15;

/**
 * The documents of a stream, one at a time, so that only one of them is in memory and others get their turn between.
 * One that is broken is a problem, and the others are read.
 */
export function* readYaml(text: string, findings: Findings): Generator<YamlValue | undefined> {
  for (const piece of yamlPieces(text)) {
    if (piece.problem === undefined) yield* documentsOf(piece, findings);
    else findings.problem(piece.problem, piece.line);
    yield undefined;
  }
}

/** What a mapping has at `key`, also by what it merges. */
export function valueOf(mapping: YamlMapping, key: string): YamlValue | undefined {
  const waiting = [mapping];
  const seen = new Set<YamlMapping>();
  for (let next = waiting.pop(); next !== undefined && seen.size < MERGE_LIMIT; next = waiting.pop()) {
    if (seen.has(next)) continue;
    seen.add(next);
    const found = next.entries.get(key);
    if (found !== undefined) return found;
    waiting.push(...next.merged.slice(0, MERGE_LIMIT).toReversed());
  }
  return undefined;
}

/** Of a scalar; `undefined` of null and of anything else. */
export function textOf(value: YamlValue | undefined): string | undefined {
  return value?.kind === 'scalar' ? value.text : undefined;
}

function documentsOf({ text, line }: YamlPiece, findings: Findings): readonly YamlValue[] {
  try {
    return new Reading(text, line).documents(parseEvents(text, { maxDepth: DEPTH_LIMIT }));
  } catch (error) {
    if (error instanceof UnknownAlias)
      findings.problem(`this YAML cannot be read: ${error.message}`, error.line);
    else if (error instanceof YAMLException)
      findings.problem(`this YAML cannot be read: ${reasonOf(error)}`, line + (error.mark?.line ?? 0));
    else findings.problem('this YAML cannot be read', line);
    return [];
  }
}

function reasonOf({ reason }: YAMLException): string {
  return reason.startsWith('nesting exceeded')
    ? 'it is nested too deep'
    : reason.replaceAll(/\s+/g, ' ').slice(0, 200);
}

class UnknownAlias extends Error {
  readonly line: number;

  constructor(name: string, line: number) {
    super(`*${shown(name).slice(1, -1)} is defined nowhere before it`);
    this.line = line;
  }
}

interface OpenMapping extends YamlMapping {
  readonly entries: Map<string, YamlValue>;
  readonly merged: YamlMapping[];
}

interface OpenList extends YamlList {
  readonly items: YamlValue[];
}

interface Collection {
  readonly value: OpenMapping | OpenList;
  /** Of a mapping: the key whose value is awaited. */
  key?: YamlValue | undefined;
}

/** One pass over a text's events, so that an alias means the last anchor before it. */
class Reading {
  readonly #text: string;
  #line: number;
  /** Where the line ends that was looked at last. Looked for once: all of a document may be one line. */
  #lineEnd = -1;
  #anchors = new Map<string, YamlValue>();
  #roots: YamlValue[] = [];
  readonly #open: Collection[] = [];

  constructor(text: string, line: number) {
    this.#text = text;
    this.#line = line;
  }

  documents(events: readonly Event[]): readonly YamlValue[] {
    for (const event of events) {
      if (event.type === EVENT_ID.DOCUMENT) this.#anchors = new Map();
      // The end of a document, which none of ours is open in.
      else if (event.type === EVENT_ID.POP) this.#open.pop();
      else if (event.type === EVENT_ID.ALIAS) this.#add(this.#meaning(this.#nameOf(event)));
      else if (event.type === EVENT_ID.SCALAR) this.#anchor(event, this.#scalar(event));
      else {
        const line = this.#lineAt(event.start);
        const value: Collection['value'] =
          event.type === EVENT_ID.MAPPING
            ? { kind: 'mapping', entries: new Map(), merged: [], line }
            : { kind: 'list', items: [], line };
        this.#anchor(event, value);
        this.#open.push({ value });
      }
    }
    return this.#roots;
  }

  #anchor(event: Exclude<Event, { type: 1 | 6 }>, value: YamlValue): void {
    if (event.anchorStart >= 0) this.#anchors.set(this.#nameOf(event), value);
    this.#add(value);
  }

  #nameOf({ anchorStart, anchorEnd }: { readonly anchorStart: number; readonly anchorEnd: number }): string {
    return this.#text.slice(anchorStart, anchorEnd);
  }

  #meaning(name: string): YamlValue {
    const value = this.#anchors.get(name);
    if (value === undefined) throw new UnknownAlias(name, this.#line);
    return value;
  }

  /** To what is open. */
  #add(value: YamlValue): void {
    const around = this.#open.at(-1);
    if (around === undefined) this.#roots.push(value);
    else if (around.value.kind === 'list') around.value.items.push(value);
    else if (around.key === undefined) around.key = value;
    else {
      const key = textOf(around.key);
      around.key = undefined;
      if (key === '<<') {
        const merged = value.kind === 'list' ? value.items : [value];
        for (const one of merged) if (one.kind === 'mapping') around.value.merged.push(one);
      } else if (key !== undefined) around.value.entries.set(key, value);
    }
  }

  #scalar(event: ScalarEvent): YamlScalar {
    const line = this.#lineAt(event.valueStart);
    const text = getScalarValue(this.#text, event);
    const isPlain = event.style === SCALAR_STYLE.PLAIN && event.tagStart < 0;
    return { kind: 'scalar', text: isPlain ? plain(text) : text, line };
  }

  /** Offsets come in the order of the text. */
  #lineAt(offset: number): number {
    while (this.#lineEnd < offset) {
      const end = this.#text.indexOf('\n', this.#lineEnd + 1);
      if (this.#lineEnd !== -1) this.#line += 1;
      this.#lineEnd = end === -1 ? Infinity : end;
    }
    return this.#line;
  }
}

function plain(text: string): string | undefined {
  if (NULL.test(text)) return undefined;
  return text.length <= NUMBER_LENGTH_LIMIT && NUMBER.test(text) ? String(Number(text)) : text;
}
