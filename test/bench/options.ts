import { parseArgs, type ParseArgsConfig } from 'node:util';

export interface BenchOptions {
  readonly quick: boolean;
  /** Absent: all of them. */
  readonly only?: readonly string[];
  /** Absent: all that are here. */
  readonly peer?: readonly string[];
  /** Where the results go. */
  readonly json: string;
  readonly markdown: boolean;
  /** After which it gives up. */
  readonly minutes: number;
}

/** What there is to choose from. */
export interface BenchChoices {
  readonly only: readonly string[];
  readonly peer: readonly string[];
}

/** Wrong usage; the message is one sentence that names the option and what it takes. */
export class BenchUsageError extends Error {
  override readonly name = 'BenchUsageError';
}

const OPTIONS = {
  quick: { type: 'boolean' },
  only: { type: 'string', multiple: true },
  peer: { type: 'string', multiple: true },
  json: { type: 'string' },
  markdown: { type: 'boolean' },
  minutes: { type: 'string' },
} as const satisfies ParseArgsConfig['options'];
const USAGE = '[--quick] [--only NAME]… [--peer NAME]… [--minutes NUMBER] [--json FILE] [--markdown]';
const TAKES: Readonly<Record<string, string>> = {
  json: 'a file',
  minutes: 'a number above 0, and 10080 at most',
};
/** A week. Timers take 24 days, and are over at once beyond that. */
const MINUTES_LIMIT = 7 * 24 * 60;

/** @throws BenchUsageError */
export function benchOptions(
  args: readonly string[],
  {
    choices,
    defaults,
  }: { readonly choices: BenchChoices; readonly defaults: Pick<BenchOptions, 'json' | 'minutes'> },
): BenchOptions {
  // Node's own errors are several lines, and name no choices.
  const { values, tokens } = parseArgs({ args: [...args], options: OPTIONS, strict: false, tokens: true });
  for (const token of tokens) {
    if (token.kind === 'positional')
      throw new BenchUsageError(`unexpected: ${token.value}; there is ${USAGE}`);
    if (token.kind === 'option') checkOption(token, choices);
  }
  const { only, peer } = values;
  return {
    quick: values.quick === true,
    ...(only !== undefined && { only: only.filter(isText) }),
    ...(peer !== undefined && { peer: peer.filter(isText) }),
    json: isText(values.json) ? values.json : defaults.json,
    markdown: values.markdown === true,
    minutes: isText(values.minutes) ? Number(values.minutes) : defaults.minutes,
  };
}

interface OptionToken {
  readonly name: string;
  readonly rawName: string;
  readonly value: string | undefined;
  readonly inlineValue: boolean | undefined;
}

function checkOption({ name, rawName, value, inlineValue }: OptionToken, choices: BenchChoices): void {
  const isKnown = Object.hasOwn(OPTIONS, name) && rawName === `--${name}`;
  if (!isKnown) throw new BenchUsageError(`unknown option: ${rawName}; there is ${USAGE}`);
  const { type } = OPTIONS[name as keyof typeof OPTIONS];
  if (type === 'boolean') {
    if (value !== undefined) throw new BenchUsageError(`${rawName} takes no value, and has ${value}`);
    return;
  }
  const named = name === 'only' || name === 'peer' ? choices[name] : undefined;
  const takes = TAKES[name] ?? `one of ${named?.join(', ')}`;
  const isMissing = value === undefined || value === '' || (inlineValue !== true && value.startsWith('-'));
  if (isMissing) throw new BenchUsageError(`${rawName} takes ${takes}, and has no value`);
  const isMinutes = Number(value) > 0 && Number(value) <= MINUTES_LIMIT;
  const isWrong = named === undefined ? name === 'minutes' && !isMinutes : !named.includes(value);
  if (isWrong) throw new BenchUsageError(`${rawName} takes ${takes}, and not ${value}`);
}

function isText(value: unknown): value is string {
  return typeof value === 'string';
}
