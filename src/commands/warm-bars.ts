import type { MultiBar, SingleBar } from 'cli-progress';
import { printBytes } from '../quantity-text.ts';

/** Bars that are shown besides that of all together. */
const IMAGE_BAR_LIMIT = 8;
/** Of an image's name; what is longer loses its beginning, which says least. */
const NAME_WIDTH = 44;

export interface ShownProgress {
  /** Of all together. */
  readonly text: string;
  readonly done: number;
  readonly total: number;
  readonly active: readonly {
    readonly image: string;
    readonly doneBytes: number;
    readonly totalBytes: number;
  }[];
}

/** Progress at a terminal: a bar for all, and one for each image under way. Lines are written above them. */
export class WarmBars {
  readonly #bars: MultiBar;
  readonly #terminal: NodeJS.WritableStream;
  readonly #images = new Map<string, SingleBar>();
  #all: SingleBar | undefined;
  #isOver = false;

  static async open(terminal: NodeJS.WritableStream): Promise<WarmBars> {
    const { default: progress } = await import('cli-progress');
    const bars = new progress.MultiBar({
      format: '[{bar}] {percentage}% {text}',
      stream: terminal,
      clearOnComplete: true,
      hideCursor: true,
      barsize: 20,
      fps: 5,
    });
    return new WarmBars(bars, terminal);
  }

  private constructor(bars: MultiBar, terminal: NodeJS.WritableStream) {
    this.#bars = bars;
    this.#terminal = terminal;
  }

  show({ text, done, total, active }: ShownProgress): void {
    this.#all ??= this.#bars.create(1, 0, { text });
    update(this.#all, done, total, text);
    const shown = active.slice(0, IMAGE_BAR_LIMIT);
    for (const [image, bar] of this.#images) {
      if (shown.some((known) => known.image === image)) continue;
      this.#bars.remove(bar);
      this.#images.delete(image);
    }
    for (const { image, doneBytes, totalBytes } of shown) {
      const name = image.length > NAME_WIDTH ? `…${image.slice(1 - NAME_WIDTH)}` : image;
      const label = `${name} ${printBytes(doneBytes)} of ${printBytes(totalBytes)}`;
      const bar = this.#images.get(image) ?? this.#bars.create(1, 0, { text: label });
      this.#images.set(image, bar);
      update(bar, doneBytes, totalBytes, label);
    }
  }

  /** A line that stays. */
  say(line: string): void {
    if (this.#all === undefined || this.#isOver) this.#terminal.write(`${line}\n`);
    else this.#bars.log(`${line}\n`);
  }

  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    if (this.#all === undefined) return;
    // What is to be logged is written by an update.
    this.#bars.update();
    this.#bars.stop();
  }
}

function update(bar: SingleBar, done: number, total: number, text: string): void {
  bar.setTotal(Math.max(total, 1));
  bar.update(Math.min(done, Math.max(total, 1)), { text });
}
