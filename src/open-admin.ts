import type { RequestListener } from 'node:http';
import type { Config } from './config.ts';
import { AdminSessions } from './http/admin-session.ts';
import { answerHealth } from './http/health-routes.ts';
import { makeImportKey } from './import-key.ts';
import { errorFacts } from './log.ts';
import { workerCount } from './fronts/worker-count.ts';
import { openHealth } from './open-health.ts';
import type { OpenAdminParts } from './open-admin-site.ts';
import type { Closer } from './open-store.ts';

/**
 * The admin listener's requests. What is for people and programs of theirs is loaded when it is first asked for, since a
 * third of the program's modules are for it alone: health needs nothing, metrics hono, all else (the API, the page) the site.
 */
export async function openAdmin(config: Config, parts: OpenAdminParts): Promise<RequestListener> {
  const { reporting, clock, store, standings, version, isClosing, closers } = parts;
  const { log, metrics } = reporting;
  const { token } = config.admin;
  const noKey = (cause: unknown): void =>
    log.warn({ error: errorFacts(cause) }, 'import.key cannot be written: nothing can be imported meanwhile');
  const importKey = token ?? (await makeImportKey(config.dataDir, noKey));
  const fronts = workerCount(config.workers) > 1 ? metrics.fronts : undefined;
  const health = openHealth({ clock, version, store, standings, isClosing, fronts, closers });
  const sessions = new AdminSessions(clock);
  const siteClosers: Closer[] = [];
  closers.push(async () => {
    for (const close of siteClosers.toReversed()) await close();
  });
  const site = once(async () => {
    const { openAdminSite } = await import('./open-admin-site.ts');
    return openAdminSite(config, { ...parts, health, sessions, importKey, closers: siteClosers });
  });
  const probes = once(async () => {
    const { probesListener } = await import('./http/probes.ts');
    return probesListener({ token, sessions, health, site, metrics: (format) => metrics.render(format) });
  });
  return (request, response) => {
    if (answerHealth(request, response, health)) return;
    probes().then(
      (serve) => serve(request, response),
      (error: unknown) => {
        metrics.unexpectedError();
        log.error({ error: errorFacts(error, { stack: true }) }, 'the admin listener cannot be loaded');
        response.writeHead(500).end();
      },
    );
  };
}

/** What it makes, made at the first call; after a failure the next call tries again. */
function once<Value>(make: () => Promise<Value>): () => Promise<Value> {
  let making: Promise<Value> | undefined;
  return () => {
    making ??= make().catch((error: unknown) => {
      making = undefined;
      throw error;
    });
    return making;
  };
}
