import { open, rm } from 'node:fs/promises';
import { resolve } from 'node:path';
import { newKeyPair } from '../bundle/signature.ts';
import { outputErrorFrom } from '../oci-layout/output-error.ts';
import type { CommandIo } from './command-io.ts';

export interface KeygenOptions {
  /** Without an ending. */
  readonly output?: string;
  readonly json?: boolean;
}

const DONE = 0;
const FAILED = 1;
/** Nobody but its owner reads what signs. */
const PRIVATE_MODE = 0o600;
const PUBLIC_MODE = 0o644;

/** Makes a key pair for bundles. @returns the exit code; 1 also when there is one already, which is never replaced */
export async function keygen(
  { output = 'entrepot', json = false }: KeygenOptions,
  io: CommandIo,
): Promise<number> {
  const { privatePem, publicPem } = newKeyPair();
  const privateFile = resolve(io.workingDir, `${output}.key`);
  const publicFile = resolve(io.workingDir, `${output}.pub`);
  try {
    await write(privateFile, privatePem, PRIVATE_MODE);
    try {
      await write(publicFile, publicPem, PUBLIC_MODE);
    } catch (error) {
      // Half of a pair is of no use, and would be in the way of the next try.
      await rm(privateFile, { force: true });
      throw error;
    }
  } catch (error) {
    const { message } = error as Error;
    io.stderr.write(`entrepot: ${message}.\n`);
    return FAILED;
  }
  if (json) io.stdout.write(`${JSON.stringify({ privateKey: privateFile, publicKey: publicFile })}\n`);
  else {
    io.stdout.write(`${privateFile} signs bundles: entrepot export --sign. Keep it secret.\n`);
    io.stdout.write(`${publicFile} verifies them: carry it to where they are imported.\n`);
  }
  return DONE;
}

async function write(path: string, text: string, mode: number): Promise<void> {
  try {
    const handle = await open(path, 'wx', mode);
    try {
      await handle.writeFile(text);
      await handle.sync();
    } catch (error) {
      // It is ours, and without its bytes it would only be in the way.
      await rm(path, { force: true });
      throw error;
    } finally {
      await handle.close();
    }
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'EEXIST')
      throw new Error(`${path} is there already, and a key is never replaced`, { cause });
    throw outputErrorFrom(cause, path);
  }
}
