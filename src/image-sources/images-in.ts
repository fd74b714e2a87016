import { findComposeImages, isCompose } from './compose-images.ts';
import { findDockerfileImages } from './dockerfile-images.ts';
import { readImageList } from './image-list.ts';
import { Findings, type NamedImages, type SourceText } from './named-image.ts';
import { kindOf } from './source-kind.ts';
import type { Variables } from './variables.ts';
import { findWorkloadImages } from './workload-images.ts';
import { readYaml } from './yaml-value.ts';

export interface SourceOptions {
  /** What Compose files and Dockerfiles may use. */
  readonly variables: Variables;
}

/** The images that a file names, whatever it is. It throws for no text. */
export function imagesIn(file: SourceText, options: SourceOptions): NamedImages {
  const reading = readingOf(file, options);
  for (;;) {
    const { done, value } = reading.next();
    if (done === true) return value;
  }
}

/** Like imagesIn, in steps: what is done between two of them takes milliseconds, but for one document of YAML. */
export function* readingOf(
  { name, text }: SourceText,
  { variables }: SourceOptions,
): Generator<void, NamedImages> {
  const findings = new Findings(name);
  const kind = kindOf(name, text);
  if (kind === 'list') yield* readImageList(text, findings);
  else if (kind === 'dockerfile') findDockerfileImages(text, variables, findings);
  else
    for (const document of readYaml(text, findings)) {
      if (document !== undefined && isCompose(document)) findComposeImages(document, variables, findings);
      else if (document !== undefined) findWorkloadImages(document, findings);
      yield;
    }
  return findings;
}
