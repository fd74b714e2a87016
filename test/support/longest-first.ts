import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Minutes each: begun after the others, one of them would run on alone. */
const LONGEST = /\/test\/campaigns\/(?:power-cut|kill|container-image|lost-index|fault-at-every-call)\./;

/** What takes long whatever its size: without a memory of earlier runs vitest begins with the largest files. */
const LONG =
  /\/test\/(?:deploy\/|interop\/|e2e\/|upstream\/registries\/|cache\/(?:store-operations|store-contents|content-intake|upkeep-model|blob-cache-model|scrub|reconcile)\.)/;

/** The order of test files: so that none is left to run alone at the end. */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    return [0, 1, 2].flatMap((rank) => sorted.filter(({ moduleId }) => rankOf(moduleId) === rank));
  }
}

function rankOf(file: string): number {
  if (LONGEST.test(file)) return 0;
  return LONG.test(file) ? 1 : 2;
}
