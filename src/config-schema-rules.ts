import { z } from 'zod';
import { parseRepositoryPattern } from './oci/repository-pattern.ts';
import { parseTagPattern } from './oci/tag-pattern.ts';
import { bandwidth } from './config-schema-bandwidth.ts';
import { DURATION, parseDuration } from './config-text.ts';
import { mapping, parsed, pullReserve, rate, TEN_YEARS_MS } from './config-values.ts';

/** The parts of an upstream's settings that are about which repository, which tag, and what when it fails. */

const patternError =
  'accepted is a repository name in which * stands for anything within a component, and ** for any components';
const pattern = parsed(z.string({ error: patternError }), patternError, parseRepositoryPattern);
export const patterns = z.array(pattern, { error: 'accepted is a list of repository patterns' });

const tagsError =
  'accepted is a list of regular expressions (RE2) that match whole tags, such as v\\d+\\.\\d+\\.\\d+';
export const immutableTags = z.array(
  parsed(z.string({ error: tagsError }).min(1, { error: tagsError }), tagsError, parseTagPattern),
  { error: tagsError },
);

const reactionError = 'accepted is stale, fail, or a duration such as 2h: stale when it is no older';
const reaction = parsed(z.string({ error: reactionError }), reactionError, (text) => {
  if (text === 'stale' || text === 'fail') return text;
  const ms = DURATION.test(text) ? parseDuration(text) : undefined;
  return ms !== undefined && ms <= TEN_YEARS_MS ? ms : undefined;
}).optional();

/** What is done with a tag or list that is held when asking failed so. */
export const stale = mapping({
  timeout: reaction.describe('No connection, or no answer in time.'),
  '5xx': reaction.describe('A 5xx, or an answer that makes no sense.'),
  '429': reaction.describe('Too many requests.'),
  '401': reaction.describe('Not signed in, or credentials refused.'),
  '403': reaction.describe('Forbidden.'),
  '404': reaction.describe('Not there.'),
}).describe('What is served when an upstream does not give an answer that is held here.');

function whole(min: number, max: number) {
  const error = `accepted is a whole number from ${min} to ${max}`;
  return z.int({ error }).min(min, { error }).max(max, { error });
}

const paces = {
  connections: whole(2, 120)
    .describe('Requests on their way at once; the others wait. Default: 96.')
    .optional(),
  requestsPerSecond: rate.describe('Requests beyond that wait their turn. Default: no limit.').optional(),
  pullsPerSecond: rate
    .describe('Manifests fetched beyond that wait their turn. Default: what the registry is known to allow.')
    .optional(),
};

const LIMITS = 'How hard this registry may be asked.';
export const limits = mapping(paces).describe(LIMITS);
export const upstreamLimits = mapping({
  ...paces,
  bandwidth: bandwidth
    .describe(
      'Bytes a second that its blobs may come in with: a size, or limit and hours. Default: no limit.',
    )
    .optional(),
  segments: whole(1, 32)
    .describe(
      'Large blobs that come slowly are fetched in several segments at once, up to so many for all of them; 1: never. Default: 6.',
    )
    .optional(),
  pullReserve: pullReserve
    .describe(
      'What of its allowance of pulls (RateLimit headers) warming leaves to clients: pulls, or a share. Default: 10%.',
    )
    .optional(),
}).describe(LIMITS);
