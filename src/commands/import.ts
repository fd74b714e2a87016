import type { KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { BundleError } from '../bundle/bundle-error.ts';
import { type NamingOptions, namingProblem } from '../bundle/image-names.ts';
import { importFiles } from '../bundle/import-files.ts';
import {
  type ImportedImage,
  type ImportFailure,
  type ImportProgress,
  type ImportSummary,
  runImport,
} from '../bundle/import-run.ts';
import { publicKeyFrom } from '../bundle/signature.ts';
import type { Config } from '../config.ts';
import type { CommandIo } from './command-io.ts';
import { shortDigest } from './images.ts';
import { oneLine } from './printable.ts';
import { Progress } from './progress.ts';
import { counted, printBytes } from '../quantity-text.ts';
import { printJson, runOnStore, type StoreCommandOptions } from './store-command.ts';
import { UsageError } from './usage-error.ts';

export interface ImportOptions extends StoreCommandOptions {
  readonly upstream?: string;
  readonly as?: string;
  readonly publicKey?: readonly string[];
  readonly dryRun?: boolean;
}

const FAILED = 1;
const KEY_BYTES_LIMIT = 64 * 1024;

/** Takes in what another cache or program wrote. @returns the exit code; 1 when anything of it could not be imported */
export async function importArchives(
  paths: readonly string[],
  options: ImportOptions,
  io: CommandIo,
): Promise<number> {
  return runOnStore(
    options,
    io,
    (config) => prepared(config, options, io),
    async ({ naming, publicKeys }, { operations, contents, signal }) => {
      const told = new Told(io, options);
      let summary: ImportSummary;
      try {
        const files = await importFiles(paths, io.workingDir);
        const request = { files, naming, publicKeys, dryRun: options.dryRun ?? false };
        summary = await runImport(request, { operations, contents }, told, signal);
      } catch (error) {
        if (!(error instanceof BundleError)) throw error;
        io.stderr.write(`entrepot: ${oneLine(error.message)}.\n`);
        return FAILED;
      } finally {
        told.end();
      }
      told.sum(summary);
      return summary.failures > 0 ? FAILED : 0;
    },
    { mayBegin: true },
  );
}

function prepared(
  { upstreams, bundleKeyFiles = [] }: Config,
  { upstream, as, publicKey = [] }: ImportOptions,
  { workingDir }: CommandIo,
): { readonly naming: NamingOptions; readonly publicKeys: readonly KeyObject[] } {
  const naming = { upstreams, upstream, as };
  const problem = namingProblem(naming);
  if (problem !== undefined) throw new UsageError(problem);
  // What is given with the command is asked for in place of what is configured.
  const files = publicKey.length > 0 ? publicKey.map((file) => resolve(workingDir, file)) : bundleKeyFiles;
  return { naming, publicKeys: files.map(keyIn) };
}

function keyIn(file: string): KeyObject {
  try {
    const text = readFileSync(file, 'latin1');
    return publicKeyFrom(text.slice(0, KEY_BYTES_LIMIT), file);
  } catch (cause) {
    if (cause instanceof BundleError) throw new UsageError(cause.message);
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown';
    throw new UsageError(`${file}: the public key cannot be read (${code})`);
  }
}

/** What the user sees: images on standard output, the rest on standard error. */
class Told {
  readonly #io: CommandIo;
  readonly #options: ImportOptions;
  readonly #progress: Progress;
  readonly #images: ImportedImage[] = [];
  readonly #failures: ImportFailure[] = [];
  readonly #remarks: ImportFailure[] = [];
  #isTelling = false;
  #stage = '';

  constructor(io: CommandIo, options: ImportOptions) {
    this.#io = io;
    this.#options = options;
    this.#progress = new Progress(io);
  }

  progress({ phase, file, doneBytes, totalBytes }: ImportProgress): void {
    const of = totalBytes === undefined ? '' : ` of ${printBytes(totalBytes)}`;
    const text = `${printBytes(doneBytes)}${of} ${phase === 'reading' ? 'read' : 'imported'}`;
    // Another bar, of another whole.
    const stage = `${phase} ${file}`;
    if (stage !== this.#stage && !this.#isTelling) this.#progress.end();
    this.#stage = stage;
    if (this.#isTelling) return;
    this.#isTelling = true;
    void this.#progress.tell(text, doneBytes, totalBytes).finally(() => (this.#isTelling = false));
  }

  remark(file: string, message: string): void {
    this.#remarks.push({ file, message });
    if (!this.#isJson) this.#say(`${message.startsWith(file) ? '' : `${file}: `}${message}.`);
  }

  image(image: ImportedImage): void {
    this.#images.push(image);
    if (this.#isJson) return;
    const { name, digest, outcome, absent, hereOnly, isMade } = image;
    const done = this.#options.dryRun === true ? WOULD : DID;
    const remarks = [
      ...(isMade ? ['its manifest was made here: no registry knows this digest'] : []),
      ...(hereOnly > 0
        ? [
            `${counted(hereOnly, 'blob')} of it ${hereOnly === 1 ? 'was' : 'were'} here, and not in the archive`,
          ]
        : []),
      ...(absent.length > 0
        ? [`its index names ${counted(absent.length, 'manifest')} more, of platforms that did not come along`]
        : []),
    ];
    this.#progress.end();
    this.#io.stdout.write(
      `${name}  ${shortDigest(digest)}  ${done[outcome]}${remarks.length > 0 ? ` (${remarks.join('; ')})` : ''}\n`,
    );
  }

  failure(failure: ImportFailure): void {
    this.#failures.push(failure);
    if (!this.#isJson) this.#say(`entrepot: ${failure.message}.`);
  }

  sum(summary: ImportSummary): void {
    const [images, failures, remarks] = [this.#images, this.#failures, this.#remarks];
    if (this.#isJson) {
      const { failures: _, ...totals } = summary;
      printJson({ ...totals, images, failures, remarks, dryRun: this.#options.dryRun ?? false }, this.#io);
      return;
    }
    const { added, present, blobs, bytes } = summary;
    const done = this.#options.dryRun === true ? 'would be imported' : 'imported';
    const parts = [
      `${counted(added, 'image')} ${done}`,
      ...(present > 0 ? [`${present.toLocaleString('en-US')} here already`] : []),
      ...(failures.length > 0 ? [`${failures.length.toLocaleString('en-US')} failed`] : []),
    ];
    const taken =
      this.#options.dryRun === true ? '' : `; ${counted(blobs, 'blob')}, ${printBytes(bytes)} taken in`;
    this.#say(`${parts.join(', ')}${taken}.`);
    if (added === 0 && present > 0 && failures.length === 0) this.#say('Nothing has changed.');
  }

  end(): void {
    this.#progress.end();
  }

  get #isJson(): boolean {
    return this.#options.json === true;
  }

  #say(text: string): void {
    this.#progress.end();
    this.#io.stderr.write(`${oneLine(text)}\n`);
  }
}

const DID = { added: 'imported', present: 'here already' } as const;
const WOULD = { added: 'would be imported', present: 'here already' } as const;
