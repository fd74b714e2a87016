import { X509Certificate } from 'node:crypto';
import { hostname } from 'node:os';
import { resolve } from 'node:path';
import { cacheAddress } from '../client-setup/cache-address.ts';
import { clientRoutes } from '../client-setup/client-routes.ts';
import type { ClientSetup } from '../client-setup/client-setup.ts';
import { CLIENTS, findClient } from '../client-setup/clients.ts';
import { clientListener, type Config } from '../config.ts';
import { readText } from '../config-file-text.ts';
import type { CommandIo } from './command-io.ts';
import { type ConfigOption, readConfiguration, WRONG_CONFIGURATION } from './configuration.ts';
import { FilesInTheWay, type WrittenFile, writeSetupFiles } from './setup-files.ts';

export interface SetupOptions extends ConfigOption {
  readonly list?: boolean;
  /** Names of upstreams; absent: all. */
  readonly upstream?: readonly string[];
  /** Path of a PEM file. */
  readonly ca?: string;
  readonly catchAll?: boolean;
  /** The directory to write to; absent: all is printed. */
  readonly write?: string;
  readonly force?: boolean;
  readonly json?: boolean;
}

const DONE = 0;
const FAILED = 1;
const WRONG_USAGE = 2;
const CA_LIMIT_BYTES = 1024 * 1024;

const AUTHORITY_NOTE =
  'Clients are told of no authority: where the certificate of the cache comes from one of your own, say --ca FILE.';

/** What was asked for cannot be; the message is for the user. */
class UsageError extends Error {}

/**
 * Prints (or writes below a directory) what points a client at the cache.
 * @returns the exit code: 0 done, 1 a file could not be written, 2 wrong usage or configuration
 */
export async function setup(name: string | undefined, options: SetupOptions, io: CommandIo): Promise<number> {
  if (options.list === true) {
    io.stdout.write(options.json === true ? `${JSON.stringify(clientList(), null, 2)}\n` : printList());
    return DONE;
  }
  const config = readConfiguration(options, io, 'nothing was printed');
  if (config === undefined) return WRONG_CONFIGURATION;
  try {
    const { setup: made, warnings } = madeSetup(name, config, options, io);
    for (const warning of warnings) io.stderr.write(`warning: ${warning}\n`);
    const root = options.write === undefined ? undefined : resolve(io.workingDir, options.write);
    const written =
      root === undefined
        ? undefined
        : await writeSetupFiles(made.files, root, { force: options.force === true });
    if (options.json === true) {
      io.stdout.write(`${JSON.stringify({ ...made, warnings, ...(written && { written }) }, null, 2)}\n`);
      return DONE;
    }
    io.stdout.write(printSetup(made, written));
    for (const limit of made.limits) io.stderr.write(`note: ${limit}\n`);
    return DONE;
  } catch (error) {
    if (error instanceof UsageError) {
      io.stderr.write(`entrepot: ${error.message}\n`);
      return WRONG_USAGE;
    }
    io.stderr.write(`entrepot: nothing was written: ${writeProblem(error)}\n`);
    return FAILED;
  }
}

function madeSetup(
  name: string | undefined,
  config: Config,
  options: SetupOptions,
  io: CommandIo,
): { readonly setup: ClientSetup; readonly warnings: readonly string[] } {
  if (name === undefined) throw new UsageError('which client? `entrepot setup --list` names them.');
  const client = findClient(name);
  if (client === undefined) {
    throw new UsageError(
      `there is no client ${JSON.stringify(name)}; there are ${CLIENTS.map(({ id }) => id).join(', ')}.`,
    );
  }
  const ca = options.ca === undefined ? undefined : authorityFrom(resolve(io.workingDir, options.ca));
  const listen = clientListener(config.listeners);
  const cache = cacheAddress({
    publicUrl: config.publicUrl,
    listen: { scheme: listen.tls === undefined ? 'http' : 'https', host: listen.host, port: listen.port },
    hostname: hostname(),
    ca,
  });
  if (cache.isPlain && ca !== undefined) {
    throw new UsageError(`--ca has no meaning: clients reach the cache over http (${cache.url}).`);
  }
  const chosen = new Set(options.upstream ?? config.upstreams.map((upstream) => upstream.name));
  for (const { name: known } of config.upstreams) chosen.delete(known);
  const [unknown] = chosen;
  if (unknown !== undefined) {
    const names = config.upstreams.map((upstream) => upstream.name).join(', ');
    throw new UsageError(`--upstream ${unknown}: not configured; there are ${names}.`);
  }
  const upstreams = config.upstreams.filter((upstream) => options.upstream?.includes(upstream.name) ?? true);
  const request = {
    cache,
    routes: clientRoutes(upstreams, cache),
    catchAll: options.catchAll === true,
  };
  const made = client.setup(request);
  const limits = [...made.limits, ...(cache.isPlain || ca !== undefined ? [] : [AUTHORITY_NOTE])];
  return { setup: { ...made, limits }, warnings: cache.warnings };
}

/** The certificates in a PEM file, and nothing else of it: what is printed must hold no key. */
function authorityFrom(file: string): string {
  const read = readText(file, CA_LIMIT_BYTES);
  if ('reason' in read) throw new UsageError(`--ca ${file}: cannot be read: ${read.reason}.`);
  const { content: text } = read;
  const found = text.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? [];
  if (found.length === 0) {
    throw new UsageError(`--ca ${file}: accepted is a PEM file with certificates.`);
  }
  for (const certificate of found) {
    try {
      void new X509Certificate(certificate);
    } catch {
      throw new UsageError(`--ca ${file}: holds a certificate that cannot be read.`);
    }
  }
  return `${found.join('\n')}\n`;
}

function printSetup({ files, steps }: ClientSetup, written: readonly WrittenFile[] | undefined): string {
  const blocks =
    written === undefined
      ? files.map(({ path, content, merge }) => {
          const head = merge ? `${path} (add to it if it is there already)` : path;
          return `==> ${head}\n${content}\n`;
        })
      : [...written.map(({ path, outcome }) => `${outcome} ${path}\n`), '\n'];
  return `${blocks.join('')}==> then\n${steps.join('\n')}\n`;
}

function clientList(): readonly object[] {
  return CLIENTS.map(({ id, aliases, title }) => ({ id, aliases, title }));
}

function printList(): string {
  const width = Math.max(...CLIENTS.map(({ id }) => id.length));
  return CLIENTS.map(({ id, title }) => `${id.padEnd(width)}  ${title}\n`).join('');
}

function writeProblem(error: unknown): string {
  if (!(error instanceof FilesInTheWay)) return messageOf(error);
  const list = error.paths.map((path) => `\n  ${path}`).join('');
  return `these files are there with other content; merge by hand, or say --force to replace them:${list}`;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
