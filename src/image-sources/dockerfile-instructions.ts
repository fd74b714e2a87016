/** One instruction of a Dockerfile. */
export interface Instruction {
  /** Upper case; without ONBUILD. */
  readonly name: string;
  /** All that follows, on one line. Without the text of heredocs. */
  readonly rest: string;
  /** Where it begins. */
  readonly line: number;
}

export interface Instructions {
  readonly instructions: readonly Instruction[];
  /** The image that reads the file, as a parser directive says. */
  readonly syntax?: { readonly image: string; readonly line: number };
}

const DIRECTIVE = /^\s*#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*$/;
const HEREDOC = /<<-?\s*(?:"([^"\s]+)"|'([^'\s]+)'|([A-Za-z0-9_.-]+))/g;
/** Only these take heredocs; in others `<<` means nothing. */
const WITH_HEREDOC = /^(?:RUN|COPY|ADD)$/;

/** Splits a Dockerfile (its reference, "Format", "Parser directives", "Here-documents"). Nothing in it is wrong to this. */
export function readInstructions(text: string): Instructions {
  const lines = text.split(/\r\n|\r|\n/);
  const { escape, syntax, first } = directivesOf(lines);
  const instructions: Instruction[] = [];
  const continued = new RegExp(`${escape === '\\' ? '\\\\' : '`'}[ \\t]*$`);
  for (let at = first; at < lines.length; at += 1) {
    if (isPassedOver(lines[at] ?? '')) continue;
    const line = at + 1;
    const parts: string[] = [];
    for (; at < lines.length; at += 1) {
      const part = lines[at] ?? '';
      // Comments and empty lines do not end an instruction that goes on.
      if (parts.length > 0 && isPassedOver(part)) continue;
      parts.push(part.replace(continued, ''));
      if (!continued.test(part)) break;
    }
    const written = parts
      .join(' ')
      .trim()
      .replace(/^ONBUILD\s+/i, '');
    const [, name = '', rest = ''] = /^(\S+)\s*([\s\S]*)$/.exec(written) ?? [];
    const upper = name.toUpperCase();
    instructions.push({ name: upper, rest, line });
    if (WITH_HEREDOC.test(upper)) at = afterHeredocs(rest, lines, at);
  }
  return { instructions, ...(syntax !== undefined && { syntax }) };
}

function isPassedOver(line: string): boolean {
  return /^\s*(?:#|$)/.test(line);
}

/** They stand on top, before anything else, also before other comments. */
function directivesOf(
  lines: readonly string[],
): Pick<Instructions, 'syntax'> & { readonly escape: string; readonly first: number } {
  const found: { escape: string; syntax?: { image: string; line: number } } = { escape: '\\' };
  let first = 0;
  // Build tools are asked for by `#!` in the first line.
  if (lines[0]?.startsWith('#!') === true) first = 1;
  for (; first < lines.length; first += 1) {
    const [, key = '', value = ''] = DIRECTIVE.exec(lines[first] ?? '') ?? [];
    if (key === '') break;
    if (key.toLowerCase() === 'syntax') found.syntax ??= { image: value, line: first + 1 };
    if (key.toLowerCase() === 'escape' && value === '`') found.escape = '`';
  }
  return { ...found, first };
}

/** The last line of what `<<NAME` begins, in order; the end of the file where one never ends. */
function afterHeredocs(rest: string, lines: readonly string[], from: number): number {
  let at = from;
  for (const [found, double, single, bare] of rest.matchAll(HEREDOC)) {
    const name = double ?? single ?? bare ?? '';
    const isIndented = found.startsWith('<<-');
    for (at += 1; at < lines.length; at += 1)
      if ((isIndented ? lines[at]?.replace(/^\t+/, '') : lines[at]) === name) break;
  }
  return at;
}
