import { createHash, timingSafeEqual } from 'node:crypto';

/** Whether an `Authorization` header has this token. */
export function isBearer(header: string | undefined, token: string): boolean {
  return isToken(/^bearer +(.+)$/i.exec(header ?? '')?.[1] ?? '', token);
}

/** Compares hashes, so that the time taken tells nothing of the token. */
export function isToken(given: string, token: string): boolean {
  return timingSafeEqual(hash(given), hash(token));
}

function hash(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
