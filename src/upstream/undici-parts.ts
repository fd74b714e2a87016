import { createRequire } from 'node:module';
import type { Agent as WholeAgent, buildConnector as wholeConnector } from 'undici';

/**
 * What we use of undici. All of it (fetch, WebSockets, caches, mocks) is a hundred files, which a start would wait for and
 * which then stay in memory; these two need twenty.
 */

const require = createRequire(import.meta.url);

export const Agent = part('lib/dispatcher/agent.js', 'Agent') as typeof WholeAgent;
export const buildConnector = part('lib/core/connect.js', 'buildConnector') as typeof wholeConnector;

/** Where files lie is nothing that undici promises: an installation with a newer one may have to load all of it. */
function part(file: string, name: 'Agent' | 'buildConnector'): unknown {
  try {
    return require(`undici/${file}`);
  } catch {
    return (require('undici') as Record<string, unknown>)[name];
  }
}
