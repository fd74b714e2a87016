import { randomFillSync } from 'node:crypto';

const ID_BYTES = 8;
const HEX_LENGTH = ID_BYTES * 2;
/** Random bytes are fetched for so many ids at a time: one by one they would cost more than all else that an id does. */
const BATCH = 64;

const random = Buffer.alloc(BATCH * ID_BYTES);
let batch = '';
let at = 0;

/** 16 hexadecimal digits that name one request in log lines, answers and on the page. Nobody can guess the next one. */
export function nextRequestId(): string {
  if (at === batch.length) {
    batch = randomFillSync(random).toString('hex');
    at = 0;
  }
  const id = batch.slice(at, at + HEX_LENGTH);
  at += HEX_LENGTH;
  return id;
}
