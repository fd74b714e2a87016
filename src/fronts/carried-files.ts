import type { ServerResponse } from 'node:http';
import { ContentError } from '../content/content-error.ts';
import { FileContent, openFile } from '../content/file-content.ts';
import { diskFileSystem } from '../content/file-system.ts';
import { ReadBuffers } from '../content/read-buffers.ts';
import { sendStretch } from '../http/blob-body.ts';
import { ClientBody } from './client-body.ts';
import type { CarriedReport } from './front-messages.ts';
import type { Grant } from './grant.ts';
import { inOneMessage } from './in-one-message.ts';

/** What this process reads ahead of its clients at most, in buffers of 1 MiB; further clients have smaller ones. */
const LARGE_BUFFERS = 32;
/** How often the owner hears how far the files are: people look at it. */
const REPORT_MS = 1_000;

export interface CarriedTo {
  readonly response: ServerResponse;
  readonly sendHead: () => void;
  /**
   * The file is not what it should be, or cannot be had here: the rest is the owner's, from this position on.
   * @param taken to be called when he has it: from then on he himself sees how it ends. Where it fails, who gives it back
   * destroys the response.
   */
  readonly giveBack: (position: number, taken: () => void) => void;
}

interface Carriage {
  readonly grant: Grant;
  readonly body: ClientBody;
  readonly begunAt: number;
  reportedBytes: number;
}

/** The files that this process sends to clients for its owner. */
export class CarriedFiles {
  readonly #buffers = new ReadBuffers(LARGE_BUFFERS);
  readonly #carriages = new Set<Carriage>();
  readonly #onReports: (reports: readonly CarriedReport[]) => void;
  readonly #ended: (report: CarriedReport) => void;
  #reporting: NodeJS.Timeout | undefined;

  /** @param onReports told how far they are, and once of each how it ended, unless the owner took it back */
  constructor(onReports: (reports: readonly CarriedReport[]) => void) {
    this.#onReports = onReports;
    this.#ended = inOneMessage(onReports);
  }

  /** Sends it; never throws. */
  carry(grant: Grant, to: CarriedTo): void {
    const { response } = to;
    const body = new ClientBody(response);
    const carriage = { grant, body, begunAt: performance.now(), reportedBytes: 0 };
    this.#carriages.add(carriage);
    this.#reporting ??= setInterval(() => this.#report(), REPORT_MS).unref();
    const closed = (): void => this.#closed(carriage, response.writableFinished);
    if (response.destroyed) closed();
    else response.once('close', closed);
    void this.#send(carriage, to);
  }

  async #send(carriage: Carriage, { response, sendHead, giveBack }: CarriedTo): Promise<void> {
    const { grant, body } = carriage;
    try {
      const content = await this.#open(grant);
      try {
        await sendStretch(body, content, grant.stretch, sendHead);
      } finally {
        content.close();
      }
      response.end();
    } catch (error) {
      if (body.signal.aborted) return;
      if (!(error instanceof ContentError)) response.destroy();
      else giveBack(grant.stretch.start + body.sentBytes, () => void this.#carriages.delete(carriage));
    }
  }

  /** @throws ContentError when it is not what the owner has */
  async #open({ file: { path, sizeBytes, modifiedAt } }: Grant): Promise<FileContent> {
    const opened = await openFile(diskFileSystem, path, sizeBytes);
    if (opened === undefined) throw new ContentError('missing', 'the file is gone');
    const content = new FileContent(opened, diskFileSystem, this.#buffers);
    if (opened.facts.modifiedAt === modifiedAt) return content;
    content.close();
    throw new ContentError('damaged', 'the file is another one by now');
  }

  #closed(carriage: Carriage, isWhole: boolean): void {
    if (!this.#carriages.delete(carriage)) return;
    this.#ended(reportOf(carriage, isWhole ? 'whole' : 'broken off'));
  }

  #report(): void {
    if (this.#carriages.size === 0) {
      clearInterval(this.#reporting);
      this.#reporting = undefined;
    }
    const moved = [...this.#carriages].filter(({ body, reportedBytes }) => body.sentBytes !== reportedBytes);
    for (const carriage of moved) carriage.reportedBytes = carriage.body.sentBytes;
    if (moved.length > 0) this.#onReports(moved.map((carriage) => reportOf(carriage, 'going on')));
  }
}

function reportOf({ grant, body, begunAt }: Carriage, state: CarriedReport['state']): CarriedReport {
  const { sentBytes, firstByteAt } = body;
  const firstByteMs = firstByteAt === undefined ? {} : { firstByteMs: firstByteAt - begunAt };
  return { loan: grant.loan, sentBytes, state, ...firstByteMs };
}
