/**
 * A wide-area line for bytes of one direction of one connection, in memory: what is put in comes out `delayMs` after it
 * has passed a bottleneck of `bytesPerSecond`; as TCP does on a fresh connection, at most a window of bytes is under way,
 * ten segments at first and doubled by every round trip that is answered.
 */
export interface LineOptions {
  readonly delayMs: number;
  readonly bytesPerSecond: number;
}

/** RFC 6928. */
const FIRST_WINDOW_BYTES = 10 * 1460;

export class WideAreaLine {
  readonly #options: LineOptions;
  readonly #out: (chunk: Buffer) => void;
  readonly #waiting: Buffer[] = [];
  readonly #flying: { readonly chunk: Buffer; readonly arrivesMs: number; readonly ackedMs: number }[] = [];
  #arrived = 0;
  #windowBytes = FIRST_WINDOW_BYTES;
  #underWayBytes = 0;
  #freeAtMs = 0;

  constructor(options: LineOptions, out: (chunk: Buffer) => void) {
    this.#options = options;
    this.#out = out;
  }

  /** Bytes that wait to be sent: whoever puts more in than the line takes should stop for a while. */
  get waitingBytes(): number {
    return this.#waiting.reduce((sum, { length }) => sum + length, 0);
  }

  /** Nothing is in it any more. */
  get isEmpty(): boolean {
    return this.#waiting.length === 0 && this.#arrived === this.#flying.length;
  }

  put(chunk: Buffer): void {
    this.#waiting.push(chunk);
  }

  /**
   * Moves on what has to move until `nowMs`.
   * @returns when there is something to do again; `undefined` while it holds nothing
   */
  advance(nowMs: number): number | undefined {
    for (let next = this.#flying[this.#arrived]; next && next.arrivesMs <= nowMs;) {
      this.#arrived += 1;
      this.#out(next.chunk);
      next = this.#flying[this.#arrived];
    }
    for (let first = this.#flying[0]; first && first.ackedMs <= nowMs; [first] = this.#flying) {
      this.#flying.shift();
      this.#arrived -= 1;
      this.#underWayBytes -= first.chunk.length;
      this.#windowBytes = Math.min(this.#windowBytes + first.chunk.length, this.#largestWindowBytes);
    }
    this.#send(nowMs);
    const arrival = this.#flying[this.#arrived]?.arrivesMs ?? Infinity;
    const due = Math.min(arrival, this.#flying[0]?.ackedMs ?? Infinity);
    return Number.isFinite(due) ? due : undefined;
  }

  #send(nowMs: number): void {
    const { delayMs, bytesPerSecond } = this.#options;
    for (;;) {
      const room = this.#windowBytes - this.#underWayBytes;
      const [head] = this.#waiting;
      if (head === undefined || room <= 0) return;
      const chunk = head.subarray(0, room);
      if (chunk.length === head.length) this.#waiting.shift();
      else this.#waiting[0] = head.subarray(chunk.length);
      this.#freeAtMs = Math.max(this.#freeAtMs, nowMs) + (chunk.length / bytesPerSecond) * 1000;
      const arrivesMs = this.#freeAtMs + delayMs;
      this.#flying.push({ chunk, arrivesMs, ackedMs: arrivesMs + delayMs });
      this.#underWayBytes += chunk.length;
    }
  }

  /** What fills the line for a round trip, twice: no window ever holds the line back once it has grown. */
  get #largestWindowBytes(): number {
    const { delayMs, bytesPerSecond } = this.#options;
    return Math.max(FIRST_WINDOW_BYTES, (2 * 2 * delayMs * bytesPerSecond) / 1000);
  }
}
