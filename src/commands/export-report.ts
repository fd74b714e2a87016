import type { ExportObserver, ExportProgress, ExportResult, ExportSummary } from '../bundle/export-run.ts';
import type { Digest } from '../oci/digest.ts';
import { systemClock } from '../clock.ts';
import type { CommandIo } from './command-io.ts';
import { Progress } from './progress.ts';
import { counted, printBytes } from '../quantity-text.ts';

/** Of progress, at a terminal; others are told less often. */
const TOLD_EVERY_MS = 200;
const EVENT_EVERY_MS = 1000;
/** Before that a pace would be a guess. */
const PACE_AFTER_SECONDS = 1;
/** Of what an image lacks, in prose. */
const NAMED_LIMIT = 3;

/** Tells a user how an export goes: prose and bars on standard error, results on standard output; or events, one a line. */
export class ExportReport implements ExportObserver {
  readonly #io: CommandIo;
  readonly #isJson: boolean;
  readonly #progress: Progress;
  #telling = false;
  #toldAt = -Infinity;
  #begunAt = 0;
  #path = '';
  #problems = 0;

  constructor(io: CommandIo, isJson: boolean) {
    this.#io = io;
    this.#isJson = isJson;
    this.#progress = new Progress(io);
  }

  /** What was asked for and is not in a bundle. */
  get problems(): number {
    return this.#problems;
  }

  problem(name: string, message: string): void {
    this.#problems += 1;
    if (this.#isJson) this.#event({ event: 'problem', name, message });
    else this.#say(`${name}: ${message}`);
  }

  /** What interrupted runs left was taken away. */
  leftovers(paths: readonly string[]): void {
    for (const path of paths) {
      if (this.#isJson) this.#event({ event: 'leftover', path });
      else this.#say(`What an interrupted export left of ${path} was removed.`);
    }
  }

  /** What follows is about this output. */
  begin(path: string): void {
    this.#path = path;
  }

  planned(facts: ExportSummary & Omit<ExportProgress, 'doneBytes' | 'doneContents'>): void {
    this.#begunAt = systemClock.monotonic();
    if (!this.#isJson) return;
    const { images, contents, bytes, leftOutContents, leftOutBytes } = facts;
    this.#event({
      event: 'planned',
      path: this.#path,
      images,
      contents,
      bytes,
      leftOutContents,
      leftOutBytes,
    });
  }

  restarted(digest: Digest): void {
    if (this.#isJson) this.#event({ event: 'restarted', path: this.#path, digest });
    else this.#say(`${digest} went away in the middle; all begins anew without what lacks it.`);
  }

  progress(progress: ExportProgress): void {
    const now = systemClock.monotonic();
    if (this.#telling || now - this.#toldAt < (this.#isJson ? EVENT_EVERY_MS : TOLD_EVERY_MS)) return;
    this.#toldAt = now;
    const { doneBytes, totalBytes, doneContents, totalContents } = progress;
    if (this.#isJson) {
      this.#event({ event: 'progress', path: this.#path, ...progress });
      return;
    }
    this.#telling = true;
    const text = [
      `${printBytes(doneBytes)} of ${printBytes(totalBytes)}`,
      `${counted(doneContents, 'blob')} of ${totalContents}`,
      ...this.#pace(doneBytes, totalBytes, now),
    ].join(', ');
    void this.#progress.tell(text, doneBytes, totalBytes).finally(() => (this.#telling = false));
  }

  /** How fast it goes, and how long it will take, once that can be told. */
  #pace(doneBytes: number, totalBytes: number, now: number): readonly string[] {
    const seconds = (now - this.#begunAt) / 1000;
    if (seconds < PACE_AFTER_SECONDS || doneBytes === 0) return [];
    const left = Math.ceil(((totalBytes - doneBytes) / doneBytes) * seconds);
    return [`${printBytes(doneBytes / seconds)}/s`, `${left} s left`];
  }

  finished({ files, incomplete, ...summary }: ExportResult): void {
    this.#progress.end();
    for (const image of incomplete) {
      this.#problems += 1;
      if (this.#isJson) this.#event({ event: 'incomplete', ...image });
      else {
        this.#say(`${image.name}: ${image.message}`);
        for (const { digest, kind, platform } of image.missing.slice(0, NAMED_LIMIT))
          this.#say(`  lacks ${kind} ${digest}${platform === undefined ? '' : ` (${platform})`}`);
        if (image.missing.length > NAMED_LIMIT)
          this.#say(`  and ${counted(image.missing.length - NAMED_LIMIT, 'part')} more`);
      }
    }
    const { images, contents, leftOutContents, leftOutBytes } = summary;
    for (const file of files) {
      if (this.#isJson) this.#event({ event: 'written', ...file });
      else this.#io.stdout.write(`${file.path}: ${printBytes(file.sizeBytes)}\n`);
    }
    if (this.#isJson || files.length === 0) return;
    const rest =
      leftOutContents === 0
        ? ''
        : `; ${counted(leftOutContents, 'blob')} (${printBytes(leftOutBytes)}) left out, which the other side has`;
    this.#say(`${counted(images, 'image')}, ${counted(contents, 'blob')}${rest}.`);
  }

  done(results: readonly ExportResult[]): void {
    const sum = (of: (result: ExportResult) => number): number =>
      results.reduce((total, result) => total + of(result), 0);
    const files = sum((result) => result.files.length);
    if (!this.#isJson) {
      if (files === 0) this.#say('entrepot: nothing was written.');
      else if (this.#problems > 0)
        this.#say(`entrepot: ${counted(this.#problems, 'problem')}; the rest was written.`);
      return;
    }
    this.#event({
      event: 'done',
      images: sum(({ images }) => images),
      contents: sum(({ contents }) => contents),
      bytes: sum(({ bytes }) => bytes),
      files,
      problems: this.#problems,
    });
  }

  /** Takes the bar away. */
  end(): void {
    this.#progress.end();
  }

  #say(text: string): void {
    this.#progress.end();
    this.#io.stderr.write(`${text}\n`);
  }

  #event(event: object): void {
    this.#io.stdout.write(`${JSON.stringify(event)}\n`);
  }
}
