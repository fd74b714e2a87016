/** What an image of an index runs on (image-spec, "image index": `platform`). */
export interface Platform {
  readonly os: string;
  readonly architecture: string;
  /** Of the processor: `v7`. Absent: none in particular. */
  readonly variant?: string | undefined;
}

const COMPONENT = /^[a-z0-9][a-z0-9_.-]{0,63}$/;
/** As uname and others call them. */
const ALIASES: Readonly<Record<string, string>> = {
  x86_64: 'amd64',
  'x86-64': 'amd64',
  aarch64: 'arm64',
  i386: '386',
  i686: '386',
  armhf: 'arm/v7',
  armel: 'arm/v6',
};
/** What having no variant means (containerd's platforms, normalisation). */
const DEFAULT_VARIANTS: Readonly<Record<string, string>> = { arm64: 'v8', arm: 'v7', amd64: 'v1' };
/** So that a typo is found out. What Go builds for, and what images are made for. */
const KNOWN_OS = ['linux', 'windows', 'darwin', 'freebsd', 'android', 'wasip1', 'wasi'];

/**
 * Reads `os/architecture[/variant]`, as `docker pull --platform` takes it.
 * @returns what is wrong with it, for the user, when it is none
 */
export function parsePlatform(text: string): Platform | { readonly problem: string } {
  const [os = '', named = '', ownVariant, ...rest] = text.toLowerCase().split('/');
  const [architecture = '', aliasVariant] = (ALIASES[named] ?? named).split('/');
  const variant = ownVariant ?? aliasVariant;
  const parts = [os, architecture, ...(variant === undefined ? [] : [variant])];
  if (rest.length > 0 || !parts.every((part) => COMPONENT.test(part)) || !KNOWN_OS.includes(os))
    return {
      problem: `accepted is OS/ARCHITECTURE[/VARIANT], such as linux/amd64 or linux/arm/v7, with an OS of ${KNOWN_OS.join(', ')}`,
    };
  return { os, architecture, ...(variant !== undefined && { variant }) };
}

/** Of a descriptor of an index; `undefined` when it names none. */
export function platformFrom(value: unknown): Platform | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { os, architecture, variant } = value as Record<string, unknown>;
  if (typeof os !== 'string' || typeof architecture !== 'string') return undefined;
  return { os, architecture, ...(typeof variant === 'string' && variant !== '' && { variant }) };
}

/** Is it one that was asked for? Without a variant every variant is meant. */
export function matchesPlatform(wanted: Platform, actual: Platform): boolean {
  if (wanted.os !== actual.os || wanted.architecture !== actual.architecture) return false;
  return wanted.variant === undefined || variantOf(wanted) === variantOf(actual);
}

export function printPlatform({ os, architecture, variant }: Platform): string {
  return [os, architecture, ...(variant === undefined ? [] : [variant])].join('/');
}

function variantOf({ architecture, variant }: Platform): string | undefined {
  return (
    variant ?? (Object.hasOwn(DEFAULT_VARIANTS, architecture) ? DEFAULT_VARIANTS[architecture] : undefined)
  );
}
