import { type Findings } from './named-image.ts';

/** A whole line is a comment, or what follows a space: no reference has `#` in it. */
const COMMENT = /(?:^|\s)#.*$/;
/** Lists are also written as YAML's: `- "nginx:1.27"`. */
const ITEM = /^(?:-\s+)?(?:"([^"]*)"|'([^']*)'|(.*))$/;

/** Reads one image a line. Empty lines and comments are passed over. */
export function* readImageList(text: string, findings: Findings): Generator<void> {
  let line = 0;
  for (const written of text.split(/\r\n|\r|\n/)) {
    line += 1;
    const [, double, single, plain] = ITEM.exec(written.replace(COMMENT, '').trim()) ?? [];
    const image = (double ?? single ?? plain ?? '').trim();
    if (image !== '' && image !== '---') findings.image(image, line);
    if (line % 1000 === 0) yield;
  }
}
