import { setImmediate as nextTurn } from 'node:timers/promises';
import { readingOf } from './images-in.ts';
import { kindOf } from './source-kind.ts';
import type { NamedImage, NamedImages, SourceProblem } from './named-image.ts';
import { type SourceFile, SourceFiles, type SourceReading } from './source-files.ts';

/** Of all files together; more would be no site but an attack, or a wrong directory. */
const IMAGE_LIMIT = 100_000;
const PROBLEM_LIMIT = 1000;
/** For so long, nobody else gets a turn. */
const TURN_MS = 10;

/**
 * Reads what files, directories (all below them that look like such a file) and standard input (`-`) name. What cannot
 * be read is a problem, and the others are read. A path in which there is no image is a problem as well.
 * @throws the signal's reason, and nothing else
 */
export async function readSources(
  paths: readonly string[],
  reading: SourceReading,
  signal: AbortSignal,
): Promise<NamedImages> {
  const images: NamedImage[] = [];
  const problems: SourceProblem[] = [];
  const files = new SourceFiles(reading);
  for (const path of paths) {
    const [imageCount, problemCount] = [images.length, problems.length];
    for await (const file of files.of(path, signal)) {
      if ('problem' in file) problems.push(file.problem);
      else {
        const found = await imagesOf(file, signal);
        if (file.isFound && isSomethingElse(file, found)) continue;
        images.push(...found.images);
        problems.push(...found.problems);
      }
      if (images.length > IMAGE_LIMIT || problems.length > PROBLEM_LIMIT) {
        const message = `more than ${IMAGE_LIMIT} images or ${PROBLEM_LIMIT} problems; the rest was not read`;
        problems.push({ place: path, message });
        return { images: images.slice(0, IMAGE_LIMIT), problems };
      }
    }
    if (images.length === imageCount && problems.length === problemCount)
      problems.push({ place: path === '-' ? 'standard input' : path, message: 'there is no image in it' });
  }
  return { images, problems };
}

async function imagesOf(file: SourceFile, signal: AbortSignal): Promise<NamedImages> {
  const steps = readingOf(file, { variables: file.variables });
  let since = performance.now();
  for (;;) {
    const { done, value } = steps.next();
    if (done === true) return value;
    if (performance.now() - since < TURN_MS) continue;
    await nextTurn();
    signal.throwIfAborted();
    since = performance.now();
  }
}

/** Text and JSON that lie about in a directory (licences, requirements, schemas) name no images, and are no mistakes. */
function isSomethingElse({ name, text }: SourceFile, { images, problems }: NamedImages): boolean {
  if (/\.json$/i.test(name)) return !/"(?:apiVersion|services)"\s*:/.test(text);
  return kindOf(name, text) === 'list' && problems.length >= images.length;
}
