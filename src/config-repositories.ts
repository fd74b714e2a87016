import { parseRepositoryPattern, type RepositoryPattern } from './oci/repository-pattern.ts';
import type { TagPattern } from './oci/tag-pattern.ts';
import { type AuthConfig, authFrom } from './config-auth.ts';
import type { FileRules } from './config-schema-upstream.ts';
import type { Surroundings } from './config-secret.ts';

/** Ways in which asking an upstream fails. `timeout`: no connection, or no answer in time. */
export type StaleReason = 'timeout' | '5xx' | '429' | '401' | '403' | '404';

/** What becomes of a held answer then: served when no older than maxStale (`stale`), or than that many ms, or not at all. */
export type StaleReaction = 'stale' | 'fail' | number;

/** Absent reasons are as by default. */
export type StaleRules = { readonly [reason in StaleReason]?: StaleReaction | undefined };

/** What can be said of an upstream, and again of some of its repositories. */
export interface RepositoryRules {
  readonly auth?: AuthConfig | undefined;
  readonly tagTtlMs?: number | undefined;
  readonly maxStaleMs?: number | undefined;
  readonly immutableTags?: readonly TagPattern[] | undefined;
  readonly stale?: StaleRules | undefined;
}

/** What is said here counts instead of what the upstream says; what is absent here, the upstream says. */
export interface RepositoryConfig extends RepositoryRules {
  readonly pattern: RepositoryPattern;
}

/** @param path the key path of `repositories` */
export function repositoriesFrom(
  written: Readonly<Record<string, FileRules>>,
  path: readonly string[],
  context: { readonly hasShortNames: boolean; readonly surroundings: Surroundings },
): readonly RepositoryConfig[] {
  const { problems } = context.surroundings;
  return Object.entries(written).flatMap(([text, rules]) => {
    const parsed = parseRepositoryPattern(text);
    if (parsed === undefined) {
      problems.add(
        [...path, text],
        'is no repository pattern; accepted is a name with * and **, such as team/**',
      );
      return [];
    }
    const pattern = longPattern(parsed, context.hasShortNames);
    return [{ pattern, ...rulesFrom(rules, [...path, text], context.surroundings) }];
  });
}

/** @param path the key path of what holds the rules */
export function rulesFrom(
  { auth: writtenAuth, tagTtl, maxStale, immutableTags, stale: writtenStale }: FileRules,
  path: readonly string[],
  surroundings: Surroundings,
): RepositoryRules {
  const auth = authFrom(writtenAuth, [...path, 'auth'], surroundings);
  return {
    ...(auth && { auth }),
    ...(tagTtl !== undefined && { tagTtlMs: tagTtl }),
    ...(maxStale !== undefined && { maxStaleMs: maxStale }),
    ...(immutableTags && { immutableTags }),
    ...(writtenStale && { stale: writtenStale }),
  };
}

/** Where one-component names are short for `library/…`, patterns of one component are, too. */
export function longPattern(pattern: RepositoryPattern, hasShortNames: boolean): RepositoryPattern {
  if (!hasShortNames || pattern.text.includes('/') || pattern.text === '**') return pattern;
  return parseRepositoryPattern(`library/${pattern.text}`) ?? pattern;
}
