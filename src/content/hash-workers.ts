import { createHash, type Hash } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { DigestAlgorithm } from '../oci/digest.ts';
import type { Slab } from './slabs.ts';

/** Bodies up to this size are hashed where they are: a message to a thread and back costs more. */
const INLINE_LIMIT_BYTES = 256 * 1024;
/** A thread takes 9 MiB whatever it does, and starts in less time than a blob's first bytes take. */
const IDLE_MS = 30_000;

/** One running hash over bytes that are given in order. */
export interface HashJob {
  /** Takes the slab's first `length` bytes; holds the slab until they are hashed. Resolves then. */
  update(slab: Slab, length: number): Promise<void>;
  /** Ends the job: the hexadecimal hash of all that was given. */
  digest(): Promise<string>;
  /** Gives the job up. Harmless after `digest`. */
  drop(): void;
}

interface Deferred {
  readonly resolve: (hex: string) => void;
  readonly reject: (error: Error) => void;
}

/**
 * The threads that hash, as many as cores: one job stays on one thread, several jobs use several. Each starts when it is
 * needed, and ends when it has not been for half a minute.
 */
export class HashWorkers {
  readonly #threads: HashThread[];
  #lastJob = 0;

  constructor(count: number = availableParallelism(), idleMs: number = IDLE_MS) {
    this.#threads = Array.from({ length: count }, () => new HashThread(idleMs));
  }

  /** How many run now. */
  get threadCount(): number {
    return this.#threads.filter((thread) => thread.isRunning).length;
  }

  /** @param sizeBytes of all that will be given, when known: small bodies are hashed on the calling thread. */
  start(algorithm: DigestAlgorithm, sizeBytes: number | undefined): HashJob {
    if (sizeBytes !== undefined && sizeBytes <= INLINE_LIMIT_BYTES) return new InlineHashJob(algorithm);
    this.#lastJob += 1;
    const thread = this.#threads.reduce((best, other) => (other.jobCount < best.jobCount ? other : best));
    return thread.start(this.#lastJob, algorithm);
  }

  /** Ends the threads; jobs in flight fail. */
  async close(): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.close()));
  }
}

class InlineHashJob implements HashJob {
  readonly #hash: Hash;

  constructor(algorithm: DigestAlgorithm) {
    this.#hash = createHash(algorithm);
  }

  update(slab: Slab, length: number): Promise<void> {
    this.#hash.update(slab.bytes.subarray(0, length));
    return Promise.resolve();
  }

  digest(): Promise<string> {
    return Promise.resolve(this.#hash.digest('hex'));
  }

  drop(): void {
    // Nothing outlives the object.
  }
}

/** A thread, and what it knows: slabs are introduced to each thread once. */
interface LiveWorker {
  readonly thread: Worker;
  readonly knownSlabs: Set<Slab>;
}

/** One worker thread at a time. Answers come in the order of the requests, so a queue per job is all the bookkeeping. */
class HashThread {
  /** Absent before it is needed, and after it died: the next job gets another. */
  #worker: LiveWorker | undefined;
  /** Of the jobs of the worker that lives: those of one that died have ended. */
  readonly #waiting = new Map<number, Deferred[]>();
  readonly #idleMs: number;
  #idle: NodeJS.Timeout | undefined;

  constructor(idleMs: number) {
    this.#idleMs = idleMs;
  }

  get jobCount(): number {
    return this.#waiting.size;
  }

  get isRunning(): boolean {
    return this.#worker !== undefined;
  }

  start(job: number, algorithm: DigestAlgorithm): HashJob {
    const worker = (this.#worker ??= this.#spawn());
    clearTimeout(this.#idle);
    this.#waiting.set(job, []);
    worker.thread.postMessage({ kind: 'start', job, algorithm });
    return {
      update: async (slab, length) => {
        slab.retain();
        try {
          if (this.#waiting.has(job)) introduce(worker, slab);
          await this.#ask(worker, job, { kind: 'update', job, slab: slab.id, length });
        } finally {
          slab.release();
        }
      },
      digest: async () => {
        try {
          return await this.#ask(worker, job, { kind: 'digest', job });
        } finally {
          this.#ended(job);
        }
      },
      drop: () => {
        // Updates that are under way are still answered: their slabs are in use until then.
        if (!this.#waiting.has(job)) return;
        worker.thread.postMessage({ kind: 'digest', job });
        this.#waiting.get(job)?.push({ resolve: () => this.#ended(job), reject: () => undefined });
      },
    };
  }

  async close(): Promise<void> {
    clearTimeout(this.#idle);
    await this.#worker?.thread.terminate();
  }

  #ended(job: number): void {
    this.#waiting.delete(job);
    if (this.#waiting.size > 0) return;
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => {
      const worker = this.#worker;
      this.#worker = undefined;
      void worker?.thread.terminate();
    }, this.#idleMs).unref();
  }

  #ask(worker: LiveWorker, job: number, request: object): Promise<string> {
    return new Promise((resolve, reject) => {
      const queue = this.#waiting.get(job);
      if (queue === undefined) {
        reject(new Error('the hash job has ended'));
        return;
      }
      queue.push({ resolve, reject });
      worker.thread.postMessage(request);
    });
  }

  #spawn(): LiveWorker {
    const thread = new Worker(new URL('./hash-worker.js', import.meta.url), { name: 'entrepot-hash' });
    thread.unref();
    thread.on('message', ({ job, hex }: { job: number; hex?: string }) => {
      this.#waiting
        .get(job)
        ?.shift()
        ?.resolve(hex ?? '');
    });
    const onEnd = (cause: unknown) => this.#fail(thread, new Error('a hash thread ended', { cause }));
    thread.on('error', onEnd);
    thread.on('exit', onEnd);
    return { thread, knownSlabs: new Set() };
  }

  #fail(thread: Worker, error: Error): void {
    if (this.#worker?.thread !== thread) return;
    this.#worker = undefined;
    const queues = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const { reject } of queues.flat()) reject(error);
  }
}

function introduce({ thread, knownSlabs }: LiveWorker, slab: Slab): void {
  if (knownSlabs.has(slab)) return;
  knownSlabs.add(slab);
  thread.postMessage({ kind: 'slab', slab: slab.id, memory: slab.memory });
}
