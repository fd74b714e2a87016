import { resolve } from 'node:path';
import { createSecureContext } from 'node:tls';
import { readText } from './config-file-text.ts';
import type { FileTls } from './config-schema-upstream.ts';
import type { Surroundings } from './config-secret.ts';

export interface UpstreamTls {
  /** PEM text, in place of the system's authorities. */
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  /** Absolute paths of where these stand, which are read again when they change. Absent: they never change. */
  readonly files?: { readonly [Part in 'ca' | 'cert' | 'key']?: string | undefined } | undefined;
  /** True: certificates are not checked. */
  readonly insecure: boolean;
}

/** @param path the key path of `tls` */
export function tlsFrom(
  { tls, url }: { readonly tls: FileTls | undefined; readonly url: string },
  path: readonly string[],
  surroundings: Surroundings,
): UpstreamTls | undefined {
  if (tls === undefined) return undefined;
  const { problems } = surroundings;
  if (url.startsWith('http:')) {
    problems.addDerived(path, 'has no meaning for an http:// url; accepted with https:// only');
  }
  const [ca, cert, key] = (['ca', 'cert', 'key'] as const).map((name) => {
    const file = tls[name];
    return file === undefined ? undefined : pemFrom(file, [...path, name], surroundings);
  });
  if (tls.cert !== undefined && tls.key === undefined)
    problems.addDerived([...path, 'key'], 'is missing: cert needs it');
  if (tls.key !== undefined && tls.cert === undefined)
    problems.addDerived([...path, 'cert'], 'is missing: key needs it');
  if (ca !== undefined && tls.insecure)
    problems.addDerived([...path, 'insecure'], 'makes ca meaningless; accepted is one of them', true);
  try {
    createSecureContext({ ca, cert, key });
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
    problems.addDerived(path, `its files do not make a usable certificate and key (${code})`);
  }
  const { baseDir } = surroundings;
  const files = {
    ...(tls.ca !== undefined && { ca: resolve(baseDir, tls.ca) }),
    ...(tls.cert !== undefined && { cert: resolve(baseDir, tls.cert) }),
    ...(tls.key !== undefined && { key: resolve(baseDir, tls.key) }),
  };
  return {
    ...(Object.keys(files).length > 0 && { files }),
    ...(ca !== undefined && { ca }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
    insecure: tls.insecure,
  };
}

function pemFrom(
  file: string,
  path: readonly string[],
  { baseDir, problems }: Surroundings,
): string | undefined {
  if (file.includes('-----BEGIN')) {
    problems.add(path, 'is PEM text; accepted is the path of a file that holds it');
    return undefined;
  }
  const text = readText(resolve(baseDir, file), 1024 * 1024);
  if ('reason' in text) problems.add(path, `cannot be read: ${text.reason}`, file);
  else if (text.content.includes('-----BEGIN ')) return text.content;
  else problems.add(path, 'names a file without PEM text', file);
  return undefined;
}
