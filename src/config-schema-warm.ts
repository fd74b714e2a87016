import { z } from 'zod';
import { parseCron } from './config-cron.ts';
import { boolean, mapping, parsed, text } from './config-values.ts';
import { parsePlatform } from './oci/platform.ts';
import { parseTagSelection } from './oci/tag-selection.ts';

const nameError = 'accepted is a name of letters, digits, . _ and -, 64 characters at most';
const name = z.string({ error: nameError }).regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, { error: nameError });

const cronError =
  "accepted is minute, hour, day of the month, month, day of the week, such as '0 3 * * *', or a nickname such as '@daily'";
const cron = parsed(z.string({ error: cronError }), cronError, (value) =>
  'wrong' in parseCron(value) ? undefined : value,
);

const timezoneError = 'accepted is a name such as Europe/Berlin or UTC';
const timezone = parsed(z.string({ error: timezoneError }), timezoneError, (value) =>
  'wrong' in parseCron('@daily', value) ? undefined : value,
);

const platformError = 'accepted is OS/ARCHITECTURE[/VARIANT], such as linux/amd64 or linux/arm/v7';
const platform = parsed(z.string({ error: platformError }), platformError, (value) => {
  const read = parsePlatform(value);
  return 'problem' in read ? undefined : read;
});

const tagsError =
  "accepted is a range of versions such as '^1.27', or a regular expression (RE2) that matches whole tags";
const tags = parsed(z.string({ error: tagsError }), tagsError, (value) =>
  'problem' in parseTagSelection(value) ? undefined : value,
);

const concurrencyError = 'accepted is a whole number from 1 to 32';
const concurrency = z
  .int({ error: concurrencyError })
  .min(1, { error: concurrencyError })
  .max(32, { error: concurrencyError });

/** Each is a label of metrics. */
const SCHEDULE_LIMIT = 100;

/** What is fetched before anybody asks, and when. */
export const warmSchema = z
  .array(
    mapping({
      name: name.describe('What status, metrics and log call it.'),
      cron: cron.describe(
        'When: minute, hour, day of the month, month, day of the week; or @daily and the like.',
      ),
      timezone: timezone
        .describe("Of cron's hours, such as Europe/Berlin. Default: the machine's own.")
        .optional(),
      images: z
        .array(text, { error: 'accepted is a list of images such as nginx:1.27' })
        .describe('Images; with tags, also repositories.')
        .prefault([]),
      from: z
        .array(text, { error: 'accepted is a list of files and directories' })
        .describe(
          'Files and directories that name images, read at each run: lists, Kubernetes YAML, Compose files, Dockerfiles, Helm values.',
        )
        .prefault([]),
      platforms: z
        .array(platform, { error: 'accepted is a list of platforms such as linux/amd64' })
        .describe('Which of images of several. Default: all.')
        .prefault([]),
      tags: tags
        .describe(
          'Which tags of what is named without one: a semver range, or a regular expression. Default: latest.',
        )
        .optional(),
      withReferrers: boolean
        .describe('true: what refers to them too: signatures, SBOMs, attestations.')
        .prefault(false),
      concurrency: concurrency
        .describe('Blobs of an upstream at the same time, 32 at most. Default: 3.')
        .optional(),
    }),
    { error: 'accepted is a list of schedules, each with name, cron, and images or from' },
  )
  .max(SCHEDULE_LIMIT, { error: `accepted are ${SCHEDULE_LIMIT} schedules at most` });
