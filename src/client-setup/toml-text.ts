import { stringify, type TomlTable } from 'smol-toml';

/** A TOML file: comments (lines without their `#`) and tables, in this order, a blank line between tables. */
export function tomlText(...parts: readonly (string | TomlTable)[]): string {
  const texts = parts.map((part) => (typeof part === 'string' ? commentText(part) : `${stringify(part)}\n`));
  return `${texts.join('').trimEnd()}\n`;
}

/** Each line behind a `#`. */
export function commentText(text: string): string {
  return text
    .split('\n')
    .map((line) => (line === '' ? '#\n' : `# ${line}\n`))
    .join('');
}
