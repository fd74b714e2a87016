import { type Instruction, readInstructions } from './dockerfile-instructions.ts';
import { type Findings, referenceFault, shown } from './named-image.ts';
import { expand, type Variables } from './variables.ts';

/** What BuildKit gives by itself, different for every platform that is built for. */
const OF_PLATFORM = /^(?:BUILD|TARGET)(?:PLATFORM|OS|ARCH|VARIANT)$/;

/** Real ones are a few KiB. */
const LENGTH_LIMIT = 1024 * 1024;

/**
 * The images that a build needs: of FROM, of COPY --from and RUN --mount=from=, and the one that reads the file
 * (`# syntax=`). Stages are passed over. Build arguments have their defaults; one without has the value of the variable
 * of its name, as `docker build --build-arg NAME` takes it.
 */
export function findDockerfileImages(text: string, variables: Variables, findings: Findings): void {
  if (text.length > LENGTH_LIMIT) {
    findings.problem('it is too long for a Dockerfile');
    return;
  }
  const { instructions, syntax } = readInstructions(text);
  if (syntax !== undefined) findings.image(syntax.image, syntax.line);
  const build = new Build(variables, findings);
  for (const instruction of instructions) build.take(instruction);
}

class Build {
  readonly #variables: Variables;
  readonly #findings: Findings;
  readonly #stages = new Set<string>();
  /** Build arguments that FROM may use: those before the first. */
  readonly #arguments: Record<string, string | undefined> = {};
  #stageCount = 0;

  constructor(variables: Variables, findings: Findings) {
    this.#variables = variables;
    this.#findings = findings;
  }

  take(instruction: Instruction): void {
    const { name, rest, line } = instruction;
    if (name === 'ARG' && this.#stageCount === 0) this.#argument(rest, line);
    else if (name === 'FROM') this.#from(rest, line);
    else if (name === 'COPY') this.#other(/^(?:--\S+\s+)*?--from=(\S+)/.exec(rest)?.[1], line);
    else if (name === 'RUN')
      for (const [, mount = ''] of flagsOf(rest).matchAll(/--mount=(\S+)/g))
        this.#other(/(?:^|,)"?from=([^,"]+)/.exec(mount)?.[1], line);
  }

  #argument(rest: string, line: number): void {
    for (const [, name = '', value] of rest.matchAll(
      /([A-Za-z_][A-Za-z0-9_]*)(?:=((?:"(?:\\.|[^"\\])*"|'[^']*'|\\.|[^\s"'\\])*))?/g,
    )) {
      if (value === undefined) this.#arguments[name] = this.#variables[name];
      else if (/^'[^']*'$/.test(value)) this.#arguments[name] = value.slice(1, -1);
      else {
        const expanded = expand(value.replaceAll(/["']/g, ''), this.#arguments, '\\$');
        if ('problem' in expanded) this.#findings.problem(`ARG ${name}: ${expanded.problem}`, line);
        else this.#arguments[name] = expanded.text;
      }
    }
  }

  #from(rest: string, line: number): void {
    const words = rest.split(/\s+/).filter((word) => word !== '' && !word.startsWith('--'));
    const [written = '', as, stage] = words;
    if (written === '') this.#findings.problem('FROM names no image', line);
    else this.#base(written.replaceAll(/^["']|["']$/g, ''), line);
    this.#stageCount += 1;
    if (as?.toLowerCase() === 'as' && stage !== undefined) this.#stages.add(stage.toLowerCase());
  }

  #base(written: string, line: number): void {
    const expanded = expand(written, this.#arguments, '\\$');
    if ('problem' in expanded) {
      this.#findings.problem(`${shown(written)}: ${expanded.problem}`, line);
      return;
    }
    const { text, unset } = expanded;
    const platforms = unset.filter((name) => OF_PLATFORM.test(name));
    if (platforms.length > 0) {
      // One stage for each platform is what this is for.
      if (!this.#isStageFor(written))
        this.#findings.problem(
          `${shown(written)}: which image that is depends on ${platforms.join(' and ')}`,
          line,
        );
      return;
    }
    if (this.#isNoImage(text)) return;
    const fault = referenceFault(text);
    if (fault === undefined) this.#findings.image(text, line);
    else
      this.#findings.problem(
        `${shown(written)}: ${unset.length > 0 ? `${unset.join(' and ')} has neither a default nor a value in the environment` : fault}`,
        line,
      );
  }

  /** Neither COPY nor RUN take variables there. */
  #other(text: string | undefined, line: number): void {
    if (text === undefined || this.#isNoImage(text)) return;
    if (/^\d+$/.test(text)) return;
    this.#findings.image(text, line);
  }

  #isNoImage(text: string): boolean {
    return text === 'scratch' || this.#stages.has(text.toLowerCase());
  }

  /** Whether stages are named as `written`, with anything in the place of variables. */
  #isStageFor(written: string): boolean {
    const pieces = written.toLowerCase().split(/\$\{[^}]*\}|\$[a-z_][a-z0-9_]*/);
    const [begin = ''] = pieces;
    const end = pieces.at(-1) ?? '';
    return [...this.#stages].some(
      (stage) => stage.length >= begin.length + end.length && stage.startsWith(begin) && stage.endsWith(end),
    );
  }
}

/** The flags before a command; what looks like one in the command itself is none. */
function flagsOf(rest: string): string {
  return /^(?:--\S+\s*)*/.exec(rest)?.[0] ?? '';
}
