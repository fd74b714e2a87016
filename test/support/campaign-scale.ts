/**
 * How much more of its kind a test is to do: 1 in `npm test`, CAMPAIGN_SCALE in campaigns (10 in `npm run test:campaigns`),
 * which run the files of `SCALED` in vitest.config.ts, too.
 */
export const CAMPAIGN_SCALE = Number(process.env['CAMPAIGN_SCALE'] ?? '1');
