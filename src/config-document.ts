import { z } from 'zod';
import { canReload } from './config-change.ts';
import type { LoadedConfig } from './config.ts';
import { fileSchema } from './config-schema.ts';

/** The configuration as it holds, for people to see: without a secret, whichever way it came. */

const scalar = z.union([z.string(), z.number(), z.boolean()]);

export const configSetting = z.object({
  key: z.string().describe('In full, as in the file: upstreams.docker.io.tagTtl.'),
  value: z.union([scalar, z.array(scalar)]).describe('As it is written in the file; a secret is ***.'),
  source: z.enum(['default', 'file', 'environment']).describe('Where the value is from.'),
  variable: z.string().optional().describe('The environment variable that gave it.'),
  needsRestart: z.boolean().describe('true: a change holds from the next start on, not by a reload.'),
});

export const configDocument = z.object({
  file: z.string().optional().describe('Path of the configuration file. Absent: there is none.'),
  settings: z.array(configSetting).describe('Every key that has a value, in the order of the file.'),
});

export type ConfigSetting = z.output<typeof configSetting>;
export type ConfigDocument = z.output<typeof configDocument>;

export const MASK = '***';
/** Of keys whose values, and all that is below them, are nobody's business. A file that holds a secret is named. */
const SECRET_KEY = /token|passw|secret|credential|header/i;
const NO_SECRET = /(?:File|Hosts)$/;
/** Shorter ones would be found by chance. */
const SECRET_LENGTH = 4;

interface JsonNode {
  readonly default?: unknown;
  readonly properties?: Readonly<Record<string, JsonNode>>;
  readonly additionalProperties?: JsonNode;
  readonly items?: JsonNode;
  readonly anyOf?: readonly JsonNode[];
}

interface Found {
  readonly path: readonly string[];
  readonly value: ConfigSetting['value'];
  readonly isWritten: boolean;
  readonly isSecret: boolean;
}

let inputSchema: JsonNode | undefined;

export function documentOf(loaded: LoadedConfig): ConfigDocument {
  const { config, written, file } = loaded;
  const schema = (inputSchema ??= z.toJSONSchema(fileSchema, { io: 'input' }) as JsonNode);
  const derived = new Map<string, unknown>();
  for (const { name, url, default: isDefault, prefixes } of config.upstreams)
    for (const [key, value] of Object.entries({ url, default: isDefault, prefixes }))
      derived.set(`upstreams.${name}.${key}`, value);
  const top = { schema, value: written, path: [], isWritten: true, isSecret: false, derived };
  const found = [...settingsOf(top)];
  const secrets = found.flatMap(({ value, isSecret }) =>
    isSecret && typeof value === 'string' && value.length >= SECRET_LENGTH ? [value] : [],
  );
  if (config.admin.token !== undefined) secrets.push(config.admin.token);
  const settings = found.map((each) => settingOf(each, secrets, loaded));
  return file === undefined ? { settings } : { file, settings };
}

function settingOf(
  { path, value, isWritten, isSecret }: Found,
  secrets: readonly string[],
  { variables }: LoadedConfig,
): ConfigSetting {
  const key = path.join('.');
  const shown = isSecret ? MASK : withoutSecrets(value, secrets);
  const needsRestart = !canReload(key);
  const variable = variables.get(key);
  if (variable !== undefined) return { key, value: shown, source: 'environment', variable, needsRestart };
  return { key, value: shown, source: isWritten ? 'file' : 'default', needsRestart };
}

interface Place extends Omit<Found, 'value'> {
  readonly schema: JsonNode;
  readonly value: unknown;
  /** Values that follow from an upstream's name. */
  readonly derived: ReadonlyMap<string, unknown>;
}

/** What is written, and what holds where nothing is. */
function* settingsOf(place: Place): Generator<Found> {
  const { schema, path, derived } = place;
  const value = place.value ?? derived.get(path.join('.')) ?? schema.default;
  const isWritten = place.isWritten && place.value !== undefined;
  const known = [schema, ...(schema.anyOf ?? [])];
  if (Array.isArray(value) && value.every(isScalar)) yield { ...place, path, value, isWritten };
  else if (isScalar(value)) yield { ...place, path, value, isWritten };
  else if (typeof value === 'object' && value !== null)
    for (const key of new Set([...propertiesOf(known), ...Object.keys(value)])) {
      const properties = known.find((node) => node.properties?.[key] !== undefined)?.properties;
      const inner =
        properties?.[key] ?? known.flatMap((node) => node.additionalProperties ?? node.items ?? [])[0];
      yield* settingsOf({
        ...place,
        schema: inner ?? {},
        value: (value as Readonly<Record<string, unknown>>)[key],
        path: [...path, key],
        isWritten,
        isSecret:
          place.isSecret || (properties !== undefined && SECRET_KEY.test(key) && !NO_SECRET.test(key)),
      });
    }
}

/** Of what is a mapping in any case: keys that have defaults are told though nothing is written. */
function propertiesOf(nodes: readonly JsonNode[]): readonly string[] {
  const [own] = nodes;
  return Object.keys(own?.properties ?? {});
}

function isScalar(value: unknown): value is string | number | boolean {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean';
}

function withoutSecrets(value: Found['value'], secrets: readonly string[]): ConfigSetting['value'] {
  if (Array.isArray(value)) return value.map((item) => maskedText(item, secrets));
  return maskedText(value, secrets);
}

/** Nothing before an `@` but in the name of an image, nothing of a query, and no secret of another key. */
function maskedText<T extends string | number | boolean>(value: T, secrets: readonly string[]): T | string {
  if (typeof value !== 'string') return value;
  if (secrets.some((secret) => value.includes(secret)) || value.includes('-----BEGIN')) return MASK;
  return value
    .replace(/((?:[a-z][a-z\d+.-]*:\/\/)?)[^\s@]+@(?!sha\d+:)/gi, `$1${MASK}@`)
    .replace(/(:\/\/[^?\s]*)\?.*$/s, `$1?${MASK}`);
}
