import { readInstructions } from './dockerfile-instructions.ts';

/** What a file is. YAML is told apart further, document by document. */
export type SourceKind = 'list' | 'dockerfile' | 'yaml';

const DOCKERFILE_NAME = /(?:^|[/\\])(?:[^/\\]*\.)?(?:dockerfile|containerfile)(?:\.[^/\\]*)?$/i;
const YAML_NAME = /\.(?:ya?ml|json)$/i;
const LIST_NAME = /\.(?:txt|list|lst|images)$/i;

/** A key, an item that is a mapping, a flow collection, a marker. */
const YAML_LINE = /^(?:---(?:\s|$)|%YAML|[{[]|(?:-\s+)*(?:"[^"]*"|'[^']*'|[^\s:"'#][^\s"'#]*):(?:\s|$))/;
const LOOKED_AT_LINES = 200;
const LOOKED_AT_CHARS = 65_536;

/**
 * Tells by what stands in a file; where that could be several, by its name. Whatever is nothing else is a list, whose
 * lines are then told one by one.
 */
export function kindOf(name: string, text: string): SourceKind {
  if (DOCKERFILE_NAME.test(name)) return 'dockerfile';
  if (isDockerfile(text.slice(0, LOOKED_AT_CHARS))) return 'dockerfile';
  const lines = text
    .slice(0, LOOKED_AT_CHARS)
    .split(/\r\n|\r|\n/, LOOKED_AT_LINES)
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
  const isYaml = lines.filter((line) => YAML_LINE.test(line)).length;
  if (YAML_NAME.test(name)) return isYaml > 0 ? 'yaml' : 'list';
  const begins = lines[0] !== undefined && YAML_LINE.test(lines[0]);
  // In a list, `nginx: 1.27` is a slip; in YAML most lines are keys.
  if (LIST_NAME.test(name)) return begins && isYaml * 2 > lines.length ? 'yaml' : 'list';
  return begins ? 'yaml' : 'list';
}

/** Whether a file of a directory is read, by its name alone; which files of it are meant nobody said. */
export function isSourceName(name: string): boolean {
  return DOCKERFILE_NAME.test(name) || YAML_NAME.test(name) || LIST_NAME.test(name);
}

/** Nothing but build arguments may stand before the first FROM. */
function isDockerfile(text: string): boolean {
  const first = readInstructions(text).instructions.find(({ name }) => name !== 'ARG');
  return first?.name === 'FROM' && first.rest !== '';
}
