import { describe, expect, it } from 'vitest';
import type { Chunk, Content } from '../../src/content/content.ts';
import { type BodyTaker, sendStretch } from '../../src/http/blob-body.ts';
import { Gate } from '../support/gate.ts';

const PIECES = 3;
/** Of a single body: see blob-body.ts. */
const PIECE_BYTES = 1024 * 1024;

interface Failing {
  readonly read?: number;
  readonly write?: number;
  readonly head?: true;
}

/** What is done, in order: `read 0`, `head`, `write 0`, `release 0`. */
class Scene implements Content, BodyTaker {
  readonly sizeBytes = PIECES * PIECE_BYTES;
  readonly done: string[] = [];
  readonly signal = new AbortController().signal;
  unreleased = 0;
  /** Whom each write waits for. */
  writeGate: Gate | undefined;

  readonly #failing: Failing;

  constructor(failing: Failing = {}) {
    this.#failing = failing;
  }

  async read(position: number, limitBytes: number): Promise<Chunk> {
    const piece = position / PIECE_BYTES;
    this.done.push(`read ${piece}`);
    // As a disk: never in the same turn.
    await new Promise(setImmediate);
    if (piece === this.#failing.read) throw new Error('the disk fails');
    this.unreleased += 1;
    return {
      bytes: new Uint8Array(limitBytes).fill(piece),
      release: () => {
        this.unreleased -= 1;
        this.done.push(`release ${Math.floor(piece)}`);
      },
    };
  }

  async write(bytes: Uint8Array): Promise<void> {
    const piece = bytes[0] ?? Number.NaN;
    this.done.push(`write ${piece}`);
    await this.writeGate?.pass();
    if (piece === this.#failing.write) throw new Error('the client left');
  }

  close(): void {}

  async send(): Promise<void> {
    await sendStretch(this, this, { start: 0, end: this.sizeBytes }, () => {
      this.done.push('head');
      if (this.#failing.head) throw new Error('the client left');
    });
  }
}

describe('a stretch of content', () => {
  it('is read a piece ahead of the connection, which takes a piece within the call when it has room', async () => {
    const scene = new Scene();
    await scene.send();
    expect(scene.done.join(', ')).toBe(
      'read 0, head, read 1, write 0, release 0, read 2, write 1, release 1, write 2, release 2',
    );
  });

  it('is read only when the piece before has left where many are sent: each has one in memory', async () => {
    const others = Array.from({ length: 16 }, () => new Scene());
    const gate = new Gate();
    for (const other of others) other.writeGate = gate;
    const sending = others.map((other) => other.send());
    await gate.arrived(others.length);
    const scene = new Scene();
    await scene.send();
    gate.open();
    await Promise.all(sending);
    // Smaller pieces, too.
    expect(scene.done.slice(0, 8).join(', ')).toBe(
      'read 0, head, write 0, release 0, read 0.25, write 0, release 0, read 0.5',
    );
    expect([scene, ...others].map(({ unreleased }) => unreleased)).toEqual(Array(17).fill(0));
  });

  it('sends its head, and reads nothing, when it is empty', async () => {
    const scene = new Scene();
    await sendStretch(scene, scene, { start: 5, end: 5 }, () => scene.done.push('head'));
    expect(scene.done).toEqual(['head']);
  });

  it.each([
    ['the first piece cannot be read', { read: 0 }, 'the disk fails', ['read 0']],
    ['the head cannot be sent', { head: true }, 'the client left', ['read 0', 'head', 'release 0']],
    [
      'a later piece cannot be read, after those before it left',
      { read: 1 },
      'the disk fails',
      ['read 0', 'head', 'read 1', 'write 0', 'release 0'],
    ],
    [
      'a piece cannot be written while the next one is read',
      { write: 0 },
      'the client left',
      ['read 0', 'head', 'read 1', 'write 0', 'release 0', 'release 1'],
    ],
  ] as const)('ends, and keeps no piece, when %s', async (_, failing, message, done) => {
    const scene = new Scene(failing);
    await expect(scene.send()).rejects.toThrow(message);
    expect(scene.done).toEqual(done);
    expect(scene.unreleased).toBe(0);
  });
});
