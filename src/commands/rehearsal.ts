import { ReferrerFinder } from '../bundle/export-referrers.ts';
import { type AvailabilityParts, imageAvailability } from '../cache/image-availability.ts';
import { StoreOperationError } from '../cache/store-operation-error.ts';
import { systemClock } from '../clock.ts';
import type { SourceProblem } from '../image-sources/named-image.ts';
import { printImageName, referenceOf } from '../oci/image-reference.ts';
import type { RehearsalReport } from '../pull-through/offline-report.ts';
import type { CommandIo } from './command-io.ts';
import { chooseImages } from './image-choice.ts';
import type { ImageOptions } from './image-options.ts';
import { type ImageRequest, parseImageOptions } from './image-request.ts';
import { Progress } from './progress.ts';
import { printFailures, printImages, type RehearsedImage, summaryOf } from './rehearsal-report.ts';
import {
  printJson,
  runOnStore,
  type StoreCommandContext,
  type StoreCommandOptions,
} from './store-command.ts';

export interface RehearsalOptions extends StoreCommandOptions, Omit<ImageOptions, 'tags'> {}

const DONE = 0;
const FOUND_MISSING = 1;

/**
 * What failed while upstreams were not asked, and which images clients would not be given whole.
 * @returns the exit code: 1 when an image is missing or could not be understood; where none is named, when a request failed
 */
export async function rehearsal(
  texts: readonly string[],
  options: RehearsalOptions,
  io: CommandIo,
): Promise<number> {
  const hasImages = texts.length > 0 || options.from !== undefined || options.seenWithin !== undefined;
  return runOnStore(
    options,
    io,
    ({ upstreams }) => (hasImages ? parseImageOptions(texts, options, upstreams) : undefined),
    async (request, context) => {
      const report = await recorded(context, hasImages);
      const rehearsed = request === undefined ? undefined : await rehearsedImages(request, context);
      for (const { place, message } of rehearsed?.problems ?? [])
        io.stderr.write(`problem: ${place}: ${message}\n`);
      const summary = rehearsed && summaryOf(rehearsed.images);
      if (options.json === true) {
        const { images, problems } = rehearsed ?? {};
        printJson({ ...report, ...(images && { ...summary, images, problems }) }, io);
      } else {
        io.stdout.write(printFailures(report));
        if (rehearsed !== undefined) io.stdout.write(printImages(rehearsed.images));
      }
      if (rehearsed === undefined)
        return (report.running ?? report.last)?.failures === 0 ? DONE : FOUND_MISSING;
      const isWhole = rehearsed.images.every(({ state }) => state === 'whole');
      return isWhole && rehearsed.problems.length === 0 ? DONE : FOUND_MISSING;
    },
  );
}

/** What a server remembers. Without one there is nothing, which is an error only where nothing else was asked for. */
async function recorded(
  { offline, config, signal }: StoreCommandContext,
  mayBeNone: boolean,
): Promise<RehearsalReport> {
  const report = offline === undefined ? {} : await offline.rehearsal(signal);
  if (mayBeNone || report.running !== undefined || report.last !== undefined) return report;
  const why =
    offline === undefined
      ? `no server uses ${config.dataDir}`
      : 'there was none since the server began (entrepot offline --for 10m begins one)';
  throw new StoreOperationError(
    'not-found',
    `no rehearsal to tell of: ${why}; with images it says which of them would be missing`,
  );
}

async function rehearsedImages(
  request: ImageRequest,
  { config, operations, contents, io, signal }: StoreCommandContext,
): Promise<{ readonly images: readonly RehearsedImage[]; readonly problems: readonly SourceProblem[] }> {
  const { upstreams } = config;
  const chosen = await chooseImages(request, { upstreams, io, operations, clock: systemClock }, signal);
  const { platforms } = request;
  const finder = request.withReferrers ? new ReferrerFinder(operations, contents) : undefined;
  const referrersOf: AvailabilityParts['referrersOf'] =
    finder && ((key, subject, limit) => finder.find(key, subject, limit));
  const images: RehearsedImage[] = [];
  const progress = new Progress(io);
  try {
    for (const name of chosen.images) {
      const { upstream, repository, places } = name;
      const image = { upstream, repository, reference: referenceOf(name) };
      const found = await imageAvailability(image, { operations, contents, platforms, referrersOf }, signal);
      images.push({ image: printImageName(name), places, ...found });
      await progress.tell(
        `${images.length} of ${chosen.images.length} images`,
        images.length,
        chosen.images.length,
      );
    }
  } finally {
    progress.end();
  }
  return { images, problems: chosen.problems };
}
