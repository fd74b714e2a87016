import { systemClock } from '../clock.ts';
import type { SourceProblem } from '../image-sources/named-image.ts';
import type { WarmEvent } from '../warm/warm-events.ts';
import type { CommandIo } from './command-io.ts';
import { counted, printBytes } from '../quantity-text.ts';
import { TransferRate } from './transfer-rate.ts';
import { WarmBars } from './warm-bars.ts';
import { LISTED_LIMIT, warmSummary } from './warm-summary.ts';
import { durationText, failureText, imageText } from './warm-text.ts';

type EventOf<Name extends WarmEvent['event']> = Extract<WarmEvent, { event: Name }>;

/** What a person or a program is shown of warming. */
export interface WarmDisplay {
  event(event: WarmEvent): void;
  /** What was named and is no image. */
  problem(problem: SourceProblem): void;
  /** No image was named. */
  nothing(): void;
  /** Takes bars away. */
  end(): void;
}

/** Without a terminal it is said no oftener how far it is. */
const LINE_INTERVAL_MS = 5000;

/** Events as JSON; bars where a person watches standard error; else plain lines there. */
export async function openWarmDisplay(
  io: CommandIo,
  { isJson }: { readonly isJson: boolean },
): Promise<WarmDisplay> {
  if (isJson) return new JsonDisplay(io);
  return io.terminal === undefined
    ? new LineDisplay(io, undefined)
    : new LineDisplay(io, await WarmBars.open(io.terminal));
}

class JsonDisplay implements WarmDisplay {
  readonly #io: CommandIo;

  constructor(io: CommandIo) {
    this.#io = io;
  }

  event(event: WarmEvent): void {
    this.#io.stdout.write(`${JSON.stringify(event)}\n`);
  }

  problem({ place, message }: SourceProblem): void {
    this.#io.stdout.write(`${JSON.stringify({ event: 'problem', place, message })}\n`);
  }

  nothing(): void {}

  end(): void {}
}

class LineDisplay implements WarmDisplay {
  readonly #io: CommandIo;
  readonly #bars: WarmBars | undefined;
  readonly #rate = new TransferRate(systemClock);
  readonly #failures: EventOf<'failed'>[] = [];
  readonly #waits = new Map<string, string>();
  #failureCount = 0;
  #problems = 0;
  #isDry = false;
  #toldAt = systemClock.monotonic();

  constructor(io: CommandIo, bars: WarmBars | undefined) {
    this.#io = io;
    this.#bars = bars;
  }

  event(event: WarmEvent): void {
    switch (event.event) {
      case 'begun':
        this.#isDry = event.dryRun;
        return;
      case 'selected':
        return this.#say(`${event.repository}: ${event.tags} of ${counted(event.of, 'tag')}`);
      case 'failed':
        this.#failureCount += 1;
        if (this.#failures.length < LISTED_LIMIT) this.#failures.push(event);
        return this.#say(failureText(event));
      case 'waiting':
        return this.#waiting(event);
      case 'resumed':
        if (this.#waits.delete(event.upstream)) this.#say(`${event.upstream}: goes on`);
        return;
      case 'image':
        // What was not even found was told as a failure.
        if (!event.isWhole && event.digest === undefined) return;
        return this.#say(imageText(event, this.#isDry));
      case 'progress':
        return this.#progress(event);
      case 'done':
        this.end();
        this.#io.stdout.write(this.#summary(event));
    }
  }

  #summary(event: EventOf<'done'>): string {
    const failureCount = this.#failureCount;
    return warmSummary(event, { failures: this.#failures, failureCount, problems: this.#problems });
  }

  problem({ place, message }: SourceProblem): void {
    this.#problems += 1;
    this.#say(place === 'argument' ? message : `${place}: ${message}`);
  }

  nothing(): void {
    this.#say('No image was found to warm.');
  }

  end(): void {
    this.#bars?.end();
  }

  #waiting({ upstream, why, untilMs, remaining, limit, reserve }: EventOf<'waiting'>): void {
    const until = new Date(untilMs).toTimeString().slice(0, 8);
    const left = `${remaining ?? 'few'} of ${limit ?? 'its'} pulls are left, and ${reserve ?? 'some'} are kept for clients`;
    const cause = why === 'reserve' ? left : 'it limits our requests';
    this.#waits.set(upstream, `${upstream} until ${until}`);
    this.#say(`${upstream}: ${cause}; waits until ${until}`);
  }

  #progress(event: EventOf<'progress'>): void {
    const done = event.presentBytes + event.fetchedBytes;
    this.#rate.add(event.fetchedBytes);
    const text = `${event.images.done} of ${counted(event.images.total, 'image')}, ${printBytes(done)} of ${printBytes(event.totalBytes)}${this.#pace(event.totalBytes - done)}`;
    if (this.#bars !== undefined) {
      this.#bars.show({ text, done, total: event.totalBytes, active: event.active });
      return;
    }
    const now = systemClock.monotonic();
    if (now - this.#toldAt < LINE_INTERVAL_MS) return;
    this.#toldAt = now;
    this.#say(text);
  }

  #pace(restBytes: number): string {
    const waits = [...this.#waits.values()];
    if (waits.length > 0) return `, waits for ${waits.join(', ')}`;
    const { perSecond } = this.#rate;
    if (perSecond <= 0) return '';
    return `, ${printBytes(perSecond)}/s, ${durationText(restBytes / perSecond)} left`;
  }

  #say(line: string): void {
    if (this.#bars === undefined) this.#io.stderr.write(`${line}\n`);
    else this.#bars.say(line);
  }
}
