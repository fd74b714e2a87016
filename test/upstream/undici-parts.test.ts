import { createRequire } from 'node:module';
import * as undici from 'undici';
import { expect, it } from 'vitest';
import { Agent, buildConnector } from '../../src/upstream/undici-parts.ts';

it('what is loaded of undici is what all of it exports, from files that are there', () => {
  expect(Agent).toBe(undici.Agent);
  expect(buildConnector).toBe(undici.buildConnector);
  // Else all of it would be loaded in their place.
  const { resolve } = createRequire(import.meta.url);
  expect(() => resolve('undici/lib/dispatcher/agent.js')).not.toThrow();
  expect(() => resolve('undici/lib/core/connect.js')).not.toThrow();
});
