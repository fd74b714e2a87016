import { createHash, timingSafeEqual } from 'node:crypto';

/** Whether an `Authorization` header has this token. Compares hashes, so that the time taken tells nothing of it. */
export function isBearer(header: string | undefined, token: string): boolean {
  const given = /^bearer +(.+)$/i.exec(header ?? '')?.[1] ?? '';
  return timingSafeEqual(hash(given), hash(token));
}

function hash(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
