import { constants } from 'node:fs';
import { access, lstat, open, readFile, realpath, rename, unlink } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { StartError } from '../start-error.ts';
import { contentErrorFrom, errorCode } from './content-error.ts';
import { makeDirectory } from './make-directory.ts';

/** Of everything below a data directory together: where the parts are. Each part has a version of its own besides. */
const FORMAT = 1;
const FORMAT_FILE = 'entrepot.format';
const ROOT = 0;

/**
 * Makes the data directory where there is none, and finds out what speaks against using it before anything is written
 * into it. What it lies on and what is inside is for its users to find.
 * @throws StartError one sentence
 */
export async function prepareDataDirectory(dataDir: string): Promise<void> {
  // A slash at the end would follow a link.
  const path = resolve(dataDir);
  await refuseWhatIsNone(path);
  try {
    await makeDirectory(path);
  } catch (cause) {
    throw refusal(path, `cannot be made: ${wordsFor(cause)}`, cause);
  }
  await refuseForeign(path);
  try {
    await access(path, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (cause) {
    throw refusal(path, `cannot be written: ${wordsFor(cause)}`, cause);
  }
  const format = await readFormat(path);
  if (format !== undefined && format > FORMAT)
    throw refusal(
      path,
      `was written by a newer entrepot (format ${format}, this one knows ${FORMAT}): use that one, or another directory`,
    );
}

/**
 * Writes down the format, where it is not. The caller holds the directory's lock. Where the disk is full it is left to
 * the next start: what is cached can be served all the same.
 * @throws StartError one sentence
 */
export async function markDataDirectory(dataDir: string): Promise<void> {
  const path = resolve(dataDir);
  if ((await readFormat(path)) !== undefined) return;
  const temporary = join(path, `${FORMAT_FILE}.new`);
  try {
    await unlink(temporary).catch(() => undefined);
    await writeDurably(temporary, `entrepot data directory, format ${FORMAT}\n`);
    await rename(temporary, join(path, FORMAT_FILE));
  } catch (cause) {
    if (contentErrorFrom(cause, 'marking').reason === 'no-space') return;
    throw refusal(path, `cannot be written: ${wordsFor(cause)}`, cause);
  }
}

async function refuseWhatIsNone(path: string): Promise<void> {
  const facts = await lstat(path).catch(() => undefined);
  if (facts === undefined || facts.isDirectory()) return;
  if (!facts.isSymbolicLink()) throw refusal(path, 'is a file, not a directory');
  const target = await realpath(path).catch(() => undefined);
  throw refusal(
    path,
    target === undefined
      ? 'is a symbolic link that leads nowhere'
      : `is a symbolic link: name the directory that it leads to, ${target}`,
  );
}

/**
 * Whoever owns a directory can replace what is in it, whatever the files allow. Root can everywhere: volumes of
 * Kubernetes are root's, and writable for the group that fsGroup names.
 */
async function refuseForeign(path: string): Promise<void> {
  const user = process.geteuid?.();
  const facts = await lstat(path).catch(() => undefined);
  if (user === undefined || facts === undefined || facts.uid === user || facts.uid === ROOT) return;
  throw refusal(
    path,
    `belongs to user ${facts.uid} while entrepot runs as user ${user}: change its owner, or name a directory inside it`,
  );
}

/** `undefined` when there is none that can be read: an old directory, a new one, or one whose power was cut. */
async function readFormat(path: string): Promise<number | undefined> {
  try {
    const text = await readFile(join(path, FORMAT_FILE), 'utf8');
    const version = /^entrepot data directory, format (?<version>\d{1,9})\n/.exec(text)?.groups?.['version'];
    return version === undefined ? undefined : Number(version);
  } catch (cause) {
    if (errorCode(cause) === 'ENOENT') return undefined;
    throw refusal(path, `cannot be used, its file ${FORMAT_FILE} cannot be read: ${wordsFor(cause)}`, cause);
  }
}

async function writeDurably(path: string, text: string): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}

function refusal(path: string, why: string, cause?: unknown): StartError {
  return new StartError(`The data directory ${path} ${why}.`, { cause });
}

const WORDS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EROFS: 'the file system is read-only',
  ENOSPC: 'the disk is full',
  EDQUOT: 'a quota is used up',
  ENOTDIR: 'a part of the path is a file',
  EEXIST: 'a part of the path is a file',
  EISDIR: 'it is a directory',
  ELOOP: 'its links lead in a circle',
  ENOENT: 'a part of the path is not there',
  ENAMETOOLONG: 'its name is too long',
  EIO: 'the disk reports an error',
};

function wordsFor(cause: unknown): string {
  const code = errorCode(cause);
  return (code === undefined ? undefined : WORDS[code]) ?? code ?? 'unknown reason';
}
