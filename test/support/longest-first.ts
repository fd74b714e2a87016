import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** What takes long whatever its size: without a memory of earlier runs vitest begins with the largest files. */
const LONG =
  /\/test\/(?:campaigns\/container-image|deploy\/|interop\/|e2e\/|upstream\/registries\/|cache\/(?:store-operations|store-contents|content-intake|upkeep-model|blob-cache-model|scrub|reconcile)\.)/;

/** The order of test files: so that none is left to run alone at the end. */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))];
  }
}

function isLong({ moduleId }: TestSpecification): boolean {
  return LONG.test(moduleId);
}
