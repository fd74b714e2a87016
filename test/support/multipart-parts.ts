import { expect } from 'vitest';
import type { GetResult } from './http-get.ts';

export interface BodyPart {
  readonly type: string;
  /** Its `Content-Range`. */
  readonly range: string;
  readonly bytes: Buffer;
}

/** The parts of a multipart/byteranges body, by RFC 9110 §14.6 and RFC 2046 §5.1. */
export function partsOf({ headers, body }: GetResult): readonly BodyPart[] {
  const boundary = /^multipart\/byteranges; boundary=([0-9a-zA-Z'()+_,./:=?-]{1,70})$/.exec(
    headers['content-type'] ?? '',
  )?.[1];
  if (boundary === undefined) throw new Error(`no multipart: ${headers['content-type']}`);
  const text = body.toString('latin1');
  const pieces = text.split(`\r\n--${boundary}`);
  expect(pieces[0]?.startsWith(`--${boundary}\r\n`)).toBe(true);
  expect(pieces.at(-1)).toBe('--\r\n');
  return pieces.slice(0, -1).map((piece, at) => {
    const part = at === 0 ? piece.slice(boundary.length + 2) : piece;
    const end = part.indexOf('\r\n\r\n');
    const fields = new Map(
      part
        .slice(2, end)
        .split('\r\n')
        .map((line): [string, string] => {
          const colon = line.indexOf(': ');
          return [line.slice(0, colon).toLowerCase(), line.slice(colon + 2)];
        }),
    );
    return {
      type: fields.get('content-type') ?? '',
      range: fields.get('content-range') ?? '',
      bytes: Buffer.from(part.slice(end + 4), 'latin1'),
    };
  });
}
