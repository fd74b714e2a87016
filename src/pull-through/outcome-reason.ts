/**
 * Why an answer was no plain hit, as a sentence for people. Closed: log lines have the key, so that they can be counted,
 * and people are shown the sentence.
 */
export const OUTCOME_REASONS = {
  'not-stored': 'it was not in the cache',
  'not-seen-here': 'this repository was not known to hold it, so its upstream was asked',
  'tag-unknown': 'this tag was not asked for before, or was forgotten since',
  'tag-expired':
    'the time was over for which a tag is taken as it was, so the upstream was asked; it means the same',
  'tag-moved': 'the upstream has moved the tag',
  'other-types': 'what is cached of this tag is of a type that the client does not take',
  'list-unknown': 'this list was not asked for before',
  'list-expired': 'the time was over for which a list is taken as it was, so the upstream was asked',
  'in-flight': 'another request had begun to fetch it, and this one joined',
  probe: 'a small part of a blob that is not cached: it was passed on alone, without fetching the rest',
  'no-room': 'there was no room to store it',
  'store-trouble': 'the store is in trouble, so it was passed on',
  offline: 'entrepot is offline: the upstream was not asked',
  'rate-limited': "the upstream's limit is used up, so what is here had to do",
  'upstream-failed': 'the upstream could not say, so what is here had to do',
} as const satisfies Readonly<Record<string, string>>;

export type OutcomeReason = keyof typeof OUTCOME_REASONS;
