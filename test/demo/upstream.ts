import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export interface DemoImage {
  readonly repository: string;
  readonly tag: string;
  /** Of its index. */
  readonly digest: string;
}

/** What the upstream was asked over some time. */
export interface UpstreamSaw {
  readonly requests: number;
  readonly blobRequests: number;
  /** Body bytes of its answers to them. */
  readonly blobBytes: number;
}

const ANSWER_LIMIT_MS = 20_000;

/** The demo's upstream registry: see upstream-process.ts. */
export class DemoUpstream {
  readonly url: string;
  readonly images: readonly DemoImage[];
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, url: string, images: readonly DemoImage[]) {
    this.#child = child;
    this.url = url;
    this.images = images;
  }

  static async start(): Promise<DemoUpstream> {
    const child = fork(fileURLToPath(new URL('upstream-process.js', import.meta.url)));
    try {
      const said = (await next(child)) as { readonly url: string; readonly images: readonly DemoImage[] };
      return new DemoUpstream(child, said.url, said.images);
    } catch (error) {
      child.kill('SIGKILL');
      throw error;
    }
  }

  /** Since it was asked last; nothing once it is away. */
  async saw(): Promise<UpstreamSaw> {
    if (!this.#child.connected) return { requests: 0, blobRequests: 0, blobBytes: 0 };
    const answer = next(this.#child);
    this.#child.send('saw');
    return (await answer) as UpstreamSaw;
  }

  /** Ends the process, its connections with it. Idempotent. */
  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = new Promise((resolve) => void this.#child.once('exit', resolve));
    this.#child.kill('SIGKILL');
    await ended;
  }
}

async function next(child: ChildProcess): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      clearTimeout(limit);
      child.off('message', onMessage);
      child.off('exit', onExit);
    };
    const onMessage = (message: unknown): void => {
      settle();
      resolve(message);
    };
    const onExit = (): void => {
      settle();
      reject(new Error('the upstream registry ended'));
    };
    const limit = setTimeout(() => {
      settle();
      reject(new Error('the upstream registry does not answer'));
    }, ANSWER_LIMIT_MS);
    child.once('message', onMessage);
    child.once('exit', onExit);
  });
}
