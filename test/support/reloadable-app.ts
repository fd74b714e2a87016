import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Environment, readConfig } from '../../src/config.ts';
import { type RunningApp, type RunningAppOptions, startConfigured } from './running-app.ts';
import { tempDir } from './temp-dir.ts';

export type FileSettings = Readonly<Record<string, unknown>>;

export interface ReloadAnswer {
  readonly status: number;
  readonly changed?: readonly string[];
  /** Of a refusal. */
  readonly detail?: string;
}

/** The whole product in this process, with a configuration file. */
export interface ReloadableApp {
  readonly app: RunningApp;
  readonly dir: string;
  /** Writes the file anew, in place of what was there: over free ports and the data directory. */
  readonly write: (settings: FileSettings) => Promise<void>;
  readonly writeText: (text: string) => Promise<void>;
  /** As operators do, over the API. */
  readonly reload: () => Promise<ReloadAnswer>;
  /** Writes, and reloads. */
  readonly change: (settings: FileSettings) => Promise<ReloadAnswer>;
}

export async function startReloadable(
  settings: FileSettings,
  options: Pick<RunningAppOptions, 'clock' | 'lookup'> & { readonly environment?: Environment } = {},
): Promise<ReloadableApp> {
  const dir = await tempDir();
  const file = join(dir, 'config.yaml');
  const base = {
    listen: '127.0.0.1:0',
    admin: { listen: '127.0.0.1:0' },
    dataDir: './data',
    log: { level: 'debug' },
    cache: { maxSize: '1GiB', minFreeSpace: 0, scrub: { every: 'never' } },
  };
  const writeText = async (text: string): Promise<void> => writeFile(file, text);
  // JSON is YAML.
  const write = async (changed: FileSettings): Promise<void> =>
    writeText(JSON.stringify({ ...base, ...changed }));
  await write(settings);
  const { environment = {} } = options;
  const read = () => readConfig({ file, environment, workingDir: dir });
  const loaded = read();
  const app = await startConfigured(loaded.config, { ...options, source: { loaded, read } });
  const reload = async (): Promise<ReloadAnswer> => {
    const answer = await fetch(`${app.adminUrl}/api/v1/reload`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
    });
    const document = (await answer.json()) as Omit<ReloadAnswer, 'status'>;
    return { status: answer.status, ...document };
  };
  const change = async (changed: FileSettings): Promise<ReloadAnswer> => {
    await write(changed);
    return reload();
  };
  return { app, dir, write, writeText, reload, change };
}
