/** An image that a file or an argument names. */
export interface NamedImage {
  /** A reference as Docker users write it. Its form was looked at; which upstream it is at was not. */
  readonly text: string;
  /** `FILE:LINE`, or `argument`. */
  readonly place: string;
}

/** What could not be read, or is no image. Nothing else is lost by it. */
export interface SourceProblem {
  /** `FILE:LINE`; without the line where all of the file is meant. */
  readonly place: string;
  readonly message: string;
}

/** What a source names, in the order of its text. */
export interface NamedImages {
  readonly images: readonly NamedImage[];
  readonly problems: readonly SourceProblem[];
}

/** One file's text. */
export interface SourceText {
  /** As problems name it. */
  readonly name: string;
  readonly text: string;
}

/** Of one file; more would be no site but an attack. */
const IMAGE_LIMIT = 100_000;
/** Problems of one file; what follows is told as a number. */
const PROBLEM_LIMIT = 100;

/** What is found in one file, while it is read. */
export class Findings implements NamedImages {
  readonly #name: string;
  readonly #images: NamedImage[] = [];
  readonly #problems: SourceProblem[] = [];
  #untold = 0;

  constructor(name: string) {
    this.#name = name;
  }

  get images(): readonly NamedImage[] {
    return this.#images;
  }

  get problems(): readonly SourceProblem[] {
    if (this.#untold === 0) return this.#problems;
    return [...this.#problems, { place: this.#name, message: `and ${this.#untold} more problems` }];
  }

  /** `text`, when it is a reference; else what is wrong with it. `line` counts from 1. */
  image(text: string, line: number): void {
    const fault = referenceFault(text);
    if (fault === undefined && this.#images.length < IMAGE_LIMIT)
      this.#images.push({ text, place: `${this.#name}:${line}` });
    else if (fault === undefined) this.problem(`more than ${IMAGE_LIMIT} images`, line);
    else this.problem(`${shown(text)}: ${fault}`, line);
  }

  /** Without a line, all of the file is meant. */
  problem(message: string, line?: number): void {
    const place = line === undefined ? this.#name : `${this.#name}:${line}`;
    if (this.#problems.length < PROBLEM_LIMIT) this.#problems.push({ place, message });
    else this.#untold += 1;
  }
}

const SHOWN_LENGTH_LIMIT = 100;

/** A piece of a file's text in a message: on one line, and cut short. */
export function shown(text: string): string {
  return JSON.stringify(text.length > SHOWN_LENGTH_LIMIT ? `${text.slice(0, SHOWN_LENGTH_LIMIT)}…` : text);
}

/** Host, name, tag and digest together are never longer. */
const LENGTH_LIMIT = 1024;
const HOST = /^(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?|\[[0-9a-fA-F:.]+\])(?::\d{1,5})?$/;
const COMPONENT = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const TAG = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/;
const DIGEST = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;

/** Why `text` is no reference as Docker users write it (distribution's `reference` grammar); `undefined`: it is one. */
export function referenceFault(text: string): string | undefined {
  if (text === '') return 'it is empty';
  if (text.length > LENGTH_LIMIT) return 'it is too long for an image';
  if (/\s/.test(text)) return 'an image has no spaces in it';
  if (/^(?:sha256:)?[0-9a-f]{64}$/.test(text))
    return 'it is an ID of an image, which no registry knows it by';
  if (/^[a-z]+:\/\//.test(text)) return 'an image has no https:// before it';
  const at = text.indexOf('@');
  if (at !== -1 && !DIGEST.test(text.slice(at + 1)))
    return 'a digest is sha256: and 64, or sha512: and 128, lower-case hexadecimal digits';
  const rest = at === -1 ? text : text.slice(0, at);
  const [first = '', ...others] = rest.split('/');
  const hasHost = others.length > 0 && (/[.:[]/.test(first) || first === 'localhost');
  if (hasHost && !HOST.test(first)) return `${shown(first)} is no host`;
  const path = hasHost ? rest.slice(first.length + 1) : rest;
  const colon = path.lastIndexOf(':');
  const name = colon === -1 ? path : path.slice(0, colon);
  if (colon !== -1 && !TAG.test(path.slice(colon + 1)))
    return 'a tag is a letter, digit or _ and up to 127 more of letters, digits, _ . and -';
  if (name.split('/').every((component) => COMPONENT.test(component))) return undefined;
  return 'accepted is [host/]repository[:tag][@digest], with a repository in lower case';
}
