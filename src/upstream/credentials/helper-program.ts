import { type ChildProcess, spawn } from 'node:child_process';
import { access, constants, stat } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { deferred } from '../../deferred.ts';
import type { Credential } from './credential-source.ts';
import { userCredential } from './docker-config.ts';

const OUTPUT_LIMIT_BYTES = 64 * 1024;
/** A child of the helper's that keeps its output open is not waited for. */
const AFTERMATH_MS = 500;

/** What helpers say on standard output when they fail; the rest of what they say may hold a secret. */
const NOT_FOUND = 'credentials not found in native keychain';
const KNOWN_ERRORS: ReadonlySet<string> = new Set([
  'no credentials server URL',
  'no credentials username',
  'no credentials server address',
]);

export type HelperAnswer =
  | { readonly kind: 'credential'; readonly credential: Credential }
  | { readonly kind: 'none' }
  /** `why` continues "docker-credential-NAME …". */
  | { readonly kind: 'failure'; readonly why: string };

/**
 * Asks `docker-credential-<name> get` for a server. No shell; the program and its children are killed when the signal
 * aborts or they say too much.
 * @throws the signal's reason
 */
export async function askHelper(name: string, server: string, signal: AbortSignal): Promise<HelperAnswer> {
  signal.throwIfAborted();
  // A group of its own, so that its children can be ended with it. What it says on standard error may be a secret.
  const child = spawn(`docker-credential-${name}`, ['get'], {
    detached: true,
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const over = deferred<HelperAnswer>();
  const chunks: Buffer[] = [];
  let length = 0;
  const kill = (): void => killGroup(child);
  const aborted = (): void => {
    kill();
    over.reject(signal.reason);
  };
  signal.addEventListener('abort', aborted, { once: true });
  child.on('error', (error) => over.resolve({ kind: 'failure', why: spawnFault(error) }));
  child.stdin.on('error', () => undefined);
  child.stdout.on('error', () => undefined);
  child.stdout.on('data', (chunk: Buffer) => {
    length += chunk.length;
    if (length <= OUTPUT_LIMIT_BYTES) {
      chunks.push(chunk);
      return;
    }
    kill();
    over.resolve({ kind: 'failure', why: `said more than ${OUTPUT_LIMIT_BYTES} bytes` });
  });
  const ended = (code: number | null): void => {
    over.resolve(answerOf(code, Buffer.concat(chunks).toString('utf8').trim()));
  };
  child.once('close', ended);
  child.once('exit', (code) => setTimeout(() => ended(code), AFTERMATH_MS).unref());
  child.stdin.end(server);
  try {
    return await over.promise;
  } finally {
    signal.removeEventListener('abort', aborted);
    child.stdout.destroy();
  }
}

/** Whether the program is there to be asked. @param path the variable PATH */
export async function isHelperOnPath(name: string, path: string): Promise<boolean> {
  for (const directory of path.split(delimiter)) {
    const file = join(directory, `docker-credential-${name}`);
    try {
      if (!(await stat(file)).isFile()) continue;
      await access(file, constants.X_OK);
      return true;
    } catch {
      // Not here.
    }
  }
  return false;
}

function answerOf(code: number | null, output: string): HelperAnswer {
  if (output === NOT_FOUND) return { kind: 'none' };
  if (code !== 0) {
    const known = KNOWN_ERRORS.has(output) ? `: ${output}` : '';
    return { kind: 'failure', why: code === null ? 'was killed' : `exited with code ${code}${known}` };
  }
  const garbage: HelperAnswer = {
    kind: 'failure',
    why: 'did not answer with a Username and a Secret in JSON',
  };
  let json: unknown;
  try {
    json = JSON.parse(output);
  } catch {
    return garbage;
  }
  if (typeof json !== 'object' || json === null) return garbage;
  const { Username: username, Secret: secret } = json as Record<string, unknown>;
  if (typeof username !== 'string' || typeof secret !== 'string') return garbage;
  if (username === '' && secret === '') return { kind: 'none' };
  const credential = username === '' || secret === '' ? undefined : userCredential(username, secret);
  return credential === undefined ? garbage : { kind: 'credential', credential };
}

function spawnFault(error: Error): string {
  const code = 'code' in error ? String(error.code) : 'unknown';
  const known: Record<string, string> = { ENOENT: 'is not on the PATH', EACCES: 'may not be run' };
  return known[code] ?? `cannot be run (${code})`;
}

function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    // It is over already.
  }
}
