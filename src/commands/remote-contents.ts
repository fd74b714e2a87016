import type { IncomingMessage } from 'node:http';
import { z } from 'zod';
import type {
  ContentBody,
  ContentEntry,
  NewContent,
  NewImage,
  StoreContents,
  WantedContent,
} from '../cache/store-contents.ts';
import { contentPage } from '../cache/store-events.ts';
import { StoreOperationError } from '../cache/store-operation-error.ts';
import type { RepositoryKey } from '../metadata/repository-key.ts';
import { type Digest, digestFrom } from '../oci/digest.ts';
import type { RemoteApi } from './remote-api.ts';

/** What one question asks for at most: the server takes no more. */
const DIGESTS_AT_ONCE = 1000;
const TAGS_AT_ONCE = 50;

const digests = z.object({
  digests: z.array(z.string()).transform((texts) => texts.flatMap((text) => digestFrom(text) ?? [])),
});
const referrersAnswer = z.object({ referrers: z.array(z.record(z.string(), z.unknown())) });

const outcomeAnswer = z.object({ outcome: z.enum(['added', 'present']) });

/** The contents of the store of a running server, over its admin API. */
export class RemoteContents implements StoreContents {
  readonly #api: RemoteApi;

  constructor(api: RemoteApi) {
    this.#api = api;
  }

  async read(
    digest: Digest,
    signal: AbortSignal,
    { isUse } = { isUse: true },
  ): Promise<ContentBody | undefined> {
    let answer: IncomingMessage;
    try {
      answer = await this.#api.ask({ path: `content/${digest}${isUse ? '' : '?use=false'}` }, signal);
    } catch (error) {
      if (error instanceof StoreOperationError && error.reason === 'not-found') return undefined;
      throw error;
    }
    const sizeBytes = Number(answer.headers['content-length']);
    if (Number.isSafeInteger(sizeBytes)) return { sizeBytes, body: new AnswerChunks(answer, digest, signal) };
    answer.destroy();
    throw new StoreOperationError('unreachable', 'the server does not say how large its content is');
  }

  async *list(signal: AbortSignal): AsyncGenerator<ContentEntry, void> {
    for await (const { contents } of this.#api.stream({ path: 'content' }, contentPage, signal)) {
      for (const [text, sizeBytes] of contents) {
        const digest = digestFrom(text);
        if (digest !== undefined) yield { digest, sizeBytes };
      }
    }
  }

  async lacking(asked: readonly Digest[], signal: AbortSignal): Promise<readonly Digest[]> {
    const lacking: Digest[] = [];
    for (let at = 0; at < asked.length; at += DIGESTS_AT_ONCE) {
      const body = { digests: asked.slice(at, at + DIGESTS_AT_ONCE) };
      lacking.push(...(await this.#api.document({ path: 'content/lacking', body }, digests, signal)).digests);
    }
    return lacking;
  }

  async withheld(
    { upstream, repository }: RepositoryKey,
    wanted: readonly WantedContent[],
    signal: AbortSignal,
  ): Promise<readonly Digest[]> {
    const withheld: Digest[] = [];
    for (let at = 0; at < wanted.length; at += DIGESTS_AT_ONCE) {
      const body = { upstream, repository, wanted: wanted.slice(at, at + DIGESTS_AT_ONCE) };
      withheld.push(
        ...(await this.#api.document({ path: 'content/withheld', body }, digests, signal)).digests,
      );
    }
    return withheld;
  }

  async referrers(
    { upstream, repository }: RepositoryKey,
    subject: Digest,
    signal: AbortSignal,
  ): Promise<readonly Record<string, unknown>[]> {
    const query = new URLSearchParams({ upstream, repository, digest: subject }).toString();
    return (await this.#api.document({ path: `referrers?${query}` }, referrersAnswer, signal)).referrers;
  }

  async add(
    { digest, sizeBytes, upstream }: NewContent,
    body: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<'added' | 'present'> {
    const query = new URLSearchParams({ upstream }).toString();
    const upload = { path: `content/${digest}?${query}`, sizeBytes, body };
    return (await this.#api.upload(upload, outcomeAnswer, signal)).outcome;
  }

  async addImage({ tags, ...image }: NewImage, signal: AbortSignal): Promise<'added' | 'present'> {
    let outcome: 'added' | 'present' = 'present';
    for (let at = 0; at === 0 || at < tags.length; at += TAGS_AT_ONCE) {
      const body = { ...image, tags: tags.slice(at, at + TAGS_AT_ONCE) };
      const answer = await this.#api.document({ path: 'images', body }, outcomeAnswer, signal);
      if (answer.outcome === 'added') outcome = 'added';
    }
    return outcome;
  }
}

/** A length that is not reached is an answer that broke off, by which the server says that the content is wrong, too. */
class AnswerChunks implements AsyncIterableIterator<Uint8Array> {
  readonly #answer: IncomingMessage;
  readonly #chunks: AsyncIterator<Uint8Array>;
  readonly #digest: Digest;
  readonly #signal: AbortSignal;

  constructor(answer: IncomingMessage, digest: Digest, signal: AbortSignal) {
    this.#answer = answer;
    this.#chunks = (answer as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]();
    this.#digest = digest;
    this.#signal = signal;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<Uint8Array, undefined>> {
    try {
      this.#signal.throwIfAborted();
      const step = await this.#chunks.next();
      return step.done === true ? { done: true, value: undefined } : step;
    } catch (cause) {
      this.#answer.destroy();
      this.#signal.throwIfAborted();
      const message = `${this.#digest}: the server could not send all of it`;
      throw new StoreOperationError('failed', message, { cause });
    }
  }

  async return(): Promise<IteratorResult<Uint8Array, undefined>> {
    this.#answer.destroy();
    return { done: true, value: undefined };
  }
}
