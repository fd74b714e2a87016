import type { SingleBar } from 'cli-progress';
import { systemClock } from '../clock.ts';
import type { CommandIo } from './command-io.ts';

/** Without a terminal a line is written no oftener. */
const LINE_INTERVAL_MS = 5000;

/** How far something is, on standard error: a bar at a terminal, else a line now and then. */
export class Progress {
  readonly #io: CommandIo;
  #bar: SingleBar | undefined;
  #toldAt = systemClock.monotonic();

  constructor(io: CommandIo) {
    this.#io = io;
  }

  /**
   * @param done of `total`, in any unit; absent where nobody knows how much there is
   * @param text what was done, in words
   */
  async tell(text: string, done?: number, total?: number): Promise<void> {
    const { terminal } = this.#io;
    if (terminal === undefined) {
      const now = systemClock.monotonic();
      if (now - this.#toldAt < LINE_INTERVAL_MS) return;
      this.#toldAt = now;
      this.#io.stderr.write(`${text}\n`);
      return;
    }
    if (this.#bar === undefined) {
      const { default: progress } = await import('cli-progress');
      const format = total === undefined ? '{text}' : '[{bar}] {percentage}% {text}';
      this.#bar = new progress.SingleBar({
        format,
        stream: terminal,
        clearOnComplete: true,
        hideCursor: true,
        barsize: 30,
        fps: 5,
      });
      this.#bar.start(total ?? 1, 0, { text });
    }
    this.#bar.update(Math.min(done ?? 0, total ?? 1), { text });
  }

  /** Takes the bar away. */
  end(): void {
    this.#bar?.stop();
    this.#bar = undefined;
  }
}
