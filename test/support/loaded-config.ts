import { execFileSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Config, ConfigError, type ConfigProblem, loadConfig } from '../../src/config.ts';
import { tempDir } from './temp-dir.ts';

export const ROOT = join(import.meta.dirname, '../..');
/** A secret that may be shown nowhere. */
export const CANARY = 'hunter2-canary';

export type Environment = Record<string, string>;

export function load(environment: Environment = {}, file?: string, workingDir = ROOT): Config {
  return loadConfig({ environment, file, workingDir });
}

export async function loadText(text: string, environment: Environment = {}): Promise<Config> {
  const dir = await tempDir();
  await writeFile(join(dir, 'entrepot.yaml'), text);
  return load(environment, 'entrepot.yaml', dir);
}

export function problemsIn(attempt: () => Config): readonly ConfigProblem[] {
  try {
    attempt();
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

export async function problemsOf(
  text: string,
  environment: Environment = {},
): Promise<readonly ConfigProblem[]> {
  const dir = await tempDir();
  const file = join(dir, 'entrepot.yaml');
  await writeFile(file, text);
  return problemsIn(() => load(environment, file, dir));
}

export const pathsOf = (problems: readonly ConfigProblem[]) => problems.map(({ path }) => path);

/** A self-signed certificate with its key, in `dir`. */
export function makeCertificate(dir: string): { readonly cert: string; readonly key: string } {
  const [cert, key] = [join(dir, 'cert.pem'), join(dir, 'key.pem')];
  const kind = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
  execFileSync('openssl', ['req', ...kind, '-subj', '/CN=registry.internal', '-keyout', key, '-out', cert], {
    stdio: 'ignore',
  });
  return { cert, key };
}
