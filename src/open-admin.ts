import type { Config } from './config.ts';
import { AdminSessions } from './http/admin-session.ts';
import { type AdminApp, probesApp } from './http/probes.ts';
import { makeImportKey } from './import-key.ts';
import { errorFacts } from './log.ts';
import { workerCount } from './fronts/worker-count.ts';
import { openHealth } from './open-health.ts';
import type { OpenAdminParts } from './open-admin-site.ts';
import type { Closer } from './open-store.ts';

/**
 * The admin listener's requests: what machines ask all the time (metrics, health) at once; for all else (the API, the
 * page) the site is opened when it is first asked for, since a third of the program's modules are for it alone.
 */
export async function openAdmin(config: Config, parts: OpenAdminParts): Promise<AdminApp> {
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
  const openSite = async (): Promise<AdminApp> => {
    const { openAdminSite } = await import('./open-admin-site.ts');
    return openAdminSite(config, { ...parts, health, sessions, importKey, closers: siteClosers });
  };
  let opening: Promise<AdminApp> | undefined;
  const site = (): Promise<AdminApp> => {
    opening ??= openSite().catch((error: unknown) => {
      opening = undefined;
      throw error;
    });
    return opening;
  };
  return probesApp({ token, sessions, health, site, metrics: (format) => metrics.render(format) });
}
