import { isRepositoryName, type RepositoryName } from './reference.ts';

/**
 * A set of repositories as an operator writes it: `*` stands for any characters within one component, a component `**`
 * for any number of components. `library/*`, `team/**` (everything below `team`), `**` (everything).
 */
export interface RepositoryPattern {
  /** As it was written. */
  readonly text: string;
  readonly expression: RegExp;
  /** Characters that stand for themselves: of two patterns that match, the one with more of them is meant. */
  readonly literalLength: number;
}

const COMPONENT = /^[a-z0-9._*-]+$/;
const LENGTH_LIMIT = 255;
/** More would let an unlucky name keep the expression busy for long. */
const STARS_IN_COMPONENT_LIMIT = 2;
const DEEP_STARS_LIMIT = 2;

/** `undefined` for what can match no repository name. */
export function parseRepositoryPattern(text: string): RepositoryPattern | undefined {
  const components = text.split('/');
  const deepStars = components.filter((component) => component === '**').length;
  const areTaken = components.every((component) => component === '**' || isComponent(component));
  if (!areTaken || deepStars > DEEP_STARS_LIMIT || text.length > LENGTH_LIMIT) return undefined;
  const source = components.map((component, at) => {
    const isLast = at === components.length - 1;
    // Each brings the slash that follows it, so that `**` can stand for no component at all before others.
    if (component === '**') return isLast ? '[^/]+(?:/[^/]+)*' : '(?:[^/]+/)*';
    const name = component.replaceAll('.', '\\.').replaceAll(/\*+/g, '[^/]*');
    return isLast ? name : `${name}/`;
  });
  return {
    text,
    expression: new RegExp(`^${source.join('')}$`),
    literalLength: text.replaceAll('*', '').length,
  };
}

function isComponent(text: string): boolean {
  const stars = text.split('*').length - 1;
  return COMPONENT.test(text) && !text.includes('**') && stars <= STARS_IN_COMPONENT_LIMIT;
}

export function matchesPattern(pattern: RepositoryPattern, repository: string): boolean {
  return pattern.expression.test(repository);
}

/** A repository that the pattern matches, which hardly exists where the pattern has a star; `undefined`: too long a name. */
export function exampleOf({ text }: RepositoryPattern): RepositoryName | undefined {
  const example = text.replaceAll(/\*+/g, 'entrepot-check');
  return isRepositoryName(example) ? example : undefined;
}

/** The rules that match, those whose pattern has more literal characters first; equals in their order. */
export function bySpecificity<Rule extends { readonly pattern: RepositoryPattern }>(
  rules: readonly Rule[],
  repository: string,
): readonly Rule[] {
  return rules
    .filter(({ pattern }) => matchesPattern(pattern, repository))
    .toSorted((one, other) => other.pattern.literalLength - one.pattern.literalLength);
}
