/** What a file is. YAML is told apart further, document by document. */
export type SourceKind = 'list' | 'dockerfile' | 'yaml';

const DOCKERFILE_NAME = /(?:^|[/\\])(?:[^/\\]*\.)?(?:dockerfile|containerfile)(?:\.[^/\\]*)?$/i;
const YAML_NAME = /\.(?:ya?ml|json)$/i;
const LIST_NAME = /\.(?:txt|list|lst|images)$/i;

/** Before the first FROM there are comments and ARGs only. */
const DOCKERFILE_TEXT =
  /^(?:[ \t]*(?:#[^\n]*|ARG[ \t][^\n]*(?:[\\`][ \t]*\r?\n[^\n]*)*)?\r?\n)*[ \t]*FROM[ \t]+\S/i;
/** A key, an item that is a mapping, a flow collection, a marker. */
const YAML_LINE = /^(?:---(?:\s|$)|%YAML|[{[]|(?:-\s+)*(?:"[^"]*"|'[^']*'|[^\s:"'#][^\s"'#]*):(?:\s|$))/;
const LOOKED_AT_LINES = 200;

/**
 * Tells by what stands in a file; where that could be several, by its name. Whatever is nothing else is a list, whose
 * lines are then told one by one.
 */
export function kindOf(name: string, text: string): SourceKind {
  if (DOCKERFILE_NAME.test(name)) return 'dockerfile';
  if (DOCKERFILE_TEXT.test(text)) return 'dockerfile';
  const lines = text
    .slice(0, 65_536)
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
