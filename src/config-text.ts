import { isRepositoryName } from './oci/reference.ts';

/** How the values of the configuration are written. Every parser gives `undefined` for what it does not take. */

/** Where a listener binds. Port 0 = any free one. */
export interface ListenAddress {
  /** An IPv6 address stands here without brackets. */
  readonly host: string;
  readonly port: number;
}

export const DURATION = /^\d{1,12}(?:ms|s|m|h|d)$/;
export const SIZE = /^\d{1,16}(?:\.\d{1,6})?(?:KiB|MiB|GiB|TiB)$|^\d{1,16}$/;
export const SHARE = /^\d{1,3}(?:\.\d{1,6})?%$/;
export const HOST = /^(?:\[[0-9a-fA-F:.]+\]|[a-zA-Z0-9](?:[a-zA-Z0-9._-]*[a-zA-Z0-9])?)(?::\d{1,5})?$/;
export const LISTEN = /^(?:\[[0-9a-fA-F:.]+\]|[a-zA-Z0-9](?:[a-zA-Z0-9._-]*[a-zA-Z0-9])?):\d{1,5}$/;

const UNIT_MS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const UNIT_BYTES: Record<string, number> = { KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40 };
const PORT_LIMIT = 65_535;

/** Milliseconds. */
export function parseDuration(text: string): number | undefined {
  if (!DURATION.test(text)) return undefined;
  const ms = Number.parseInt(text, 10) * (UNIT_MS[text.replace(/^\d+/, '')] ?? Number.NaN);
  return Number.isSafeInteger(ms) ? ms : undefined;
}

/** Bytes. */
export function parseSize(text: string): number | undefined {
  if (!SIZE.test(text)) return undefined;
  const unit = UNIT_BYTES[text.slice(-3)];
  const bytes = Math.floor(Number.parseFloat(text) * (unit ?? 1));
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** `80%` is 0.8; more than nothing and no more than all. */
export function parseShare(text: string): number | undefined {
  if (!SHARE.test(text)) return undefined;
  const share = Number.parseFloat(text) / 100;
  return share > 0 && share <= 1 ? share : undefined;
}

export function parseListen(text: string): ListenAddress | undefined {
  if (!LISTEN.test(text)) return undefined;
  const colon = text.lastIndexOf(':');
  const host = text.slice(0, colon).replace(/^\[(.*)\]$/, '$1');
  const port = Number(text.slice(colon + 1));
  return port <= PORT_LIMIT ? { host: host.toLowerCase(), port } : undefined;
}

/** As `parseListen` reads it. */
export function printListen({ host, port }: ListenAddress): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** `host` or `host:port`, in lower case. */
export function parseHost(text: string): string | undefined {
  if (!HOST.test(text)) return undefined;
  const port = /:(\d+)$/.exec(text.replace(/^\[.*\]/, ''))?.[1];
  if (port !== undefined && (Number(port) === 0 || Number(port) > PORT_LIMIT)) return undefined;
  return text.toLowerCase();
}

/** What a path segment must be to be taken off as a prefix. `v2` would make `/v2/…` ambiguous. */
export function isPrefix(text: string): boolean {
  return isRepositoryName(text) && !text.includes('/') && text !== 'v2';
}

/** An http(s) URL without credentials, query and fragment; a slash at its end is taken off. */
export function parseBaseUrl(text: string): string | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:\/\/[^\s?#@\\]+$/i.test(text)) return undefined;
  return `${url.origin}${url.pathname}`.replace(/\/+$/, '');
}

/**
 * Replaces `${VAR}` and `${VAR:-default}` (which also stands in for an empty variable, as in a shell); `$${` is a plain
 * `${`. A variable that is not set and has no default goes to `missing`.
 */
export function substitute(
  text: string,
  environment: Readonly<Record<string, string | undefined>>,
  missing: (problem: string) => void,
): string {
  return text.replace(
    /\$\$\{|\$\{([^}]*)(\}?)/g,
    (found: string, inside: string | undefined, end: string | undefined) => {
      if (inside === undefined) return '${';
      const [, name, fallback] = /^([A-Za-z_][A-Za-z0-9_]*)(?::-([\s\S]*))?$/.exec(inside) ?? [];
      if (name === undefined || end !== '}') {
        missing('has a `${` that is neither ${VAR} nor ${VAR:-default}; a plain one is written `$${`');
        return found;
      }
      const value = environment[name];
      if (value !== undefined && (value !== '' || fallback === undefined)) return value;
      if (fallback === undefined)
        missing(
          `names the environment variable ${name}, which is not set; \${${name}:-default} gives it a default`,
        );
      return fallback ?? '';
    },
  );
}
