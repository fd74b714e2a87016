import { once } from 'node:events';
import type { Transform } from 'node:stream';
import type { ByteSink, WrittenFile } from './byte-sink.ts';

/** Bytes that go through a compressor on their way. */
export class PackedSink implements ByteSink {
  readonly #packer: Transform;
  readonly #sink: ByteSink;
  readonly #pump: Promise<void>;

  /** Takes both over. */
  constructor(packer: Transform, sink: ByteSink) {
    this.#packer = packer;
    this.#sink = sink;
    this.#pump = this.#pass();
    // It is awaited with what is written next; until then a failure must not count as unhandled.
    this.#pump.catch(() => undefined);
  }

  async write(bytes: Uint8Array): Promise<void> {
    // The compressor may keep them for longer than the caller lends them.
    if (this.#packer.write(Buffer.from(bytes))) return;
    const waiting = new AbortController();
    const drained = once(this.#packer, 'drain', { signal: waiting.signal }).catch(() => undefined);
    try {
      await Promise.race([drained, this.#pump]);
    } finally {
      waiting.abort();
    }
  }

  async finish(): Promise<readonly WrittenFile[]> {
    this.#packer.end();
    await this.#pump;
    return this.#sink.finish();
  }

  async abandon(): Promise<void> {
    this.#packer.destroy();
    await this.#pump.catch(() => undefined);
    await this.#sink.abandon();
  }

  async #pass(): Promise<void> {
    for await (const chunk of this.#packer as AsyncIterable<Uint8Array>) await this.#sink.write(chunk);
  }
}
