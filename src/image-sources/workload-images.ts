import { type Findings, referenceFault, shown } from './named-image.ts';
import { textOf, valueOf, type YamlMapping, type YamlScalar, type YamlValue } from './yaml-value.ts';

/** Mappings below these keys run something: of pod templates wherever they stand, and of Argo's and Tekton's. */
const CONTAINER_KEYS: ReadonlySet<string> = new Set([
  'containers',
  'initContainers',
  'ephemeralContainers',
  'container',
  'initContainer',
  'sidecars',
  'sidecar',
  'script',
  'steps',
  'stepTemplate',
]);
/** What has no image of its own, however much it speaks of them: schemas, and texts for programs. */
const PASSED_OVER_KINDS: ReadonlySet<string> = new Set(['CustomResourceDefinition', 'ConfigMap', 'Secret']);
/** What an operator (OLM) starts by itself. */
const RELATED_IMAGE = /^RELATED_IMAGE_/;
/** A tag or digest. */
const HAS_REFERENCE = /:[^/:]+$|@sha/;
/** Istio puts its own image there, in the cluster. */
const PUT_IN_LATER = 'auto';

/**
 * The images of a Kubernetes object, of a list of them or of Helm values: `image` of every container in whatever stands
 * around it, `image` anywhere else when it has a tag or digest, and `repository` beside `tag`.
 */
export function findWorkloadImages(root: YamlValue, findings: Findings): void {
  const registry = globalRegistry(root);
  const seen = new Set<YamlValue>();
  const waiting: { readonly key: string; readonly value: YamlValue }[] = [{ key: '', value: root }];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { key, value } = next;
    if (seen.has(value) || value.kind === 'scalar') continue;
    seen.add(value);
    if (value.kind === 'list') {
      if (key === 'images') for (const item of value.items) takeLikely(item, findings);
      // Backwards, since what was pushed last comes first.
      for (const item of value.items.toReversed()) waiting.push({ key, value: item });
      continue;
    }
    const kind = textOf(valueOf(value, 'kind'));
    const isObject = kind !== undefined && valueOf(value, 'apiVersion') !== undefined;
    if (isObject && PASSED_OVER_KINDS.has(kind)) continue;
    takeOf(key, value, registry, findings);
    for (const [name, inner] of [...value.entries].toReversed())
      // What a node reports of it, by names and IDs of its own.
      if (!(isObject && name === 'status')) waiting.push({ key: name, value: inner });
    for (const merged of value.merged.toReversed()) waiting.push({ key, value: merged });
  }
}

/** The images that one mapping names by itself. `key`: what it stands at. */
function takeOf(key: string, mapping: YamlMapping, registry: string | undefined, findings: Findings): void {
  const image = valueOf(mapping, 'image');
  if (takeParts(key, mapping, registry, findings)) return;
  if (CONTAINER_KEYS.has(key)) takeContainer(image, findings);
  else takeLikely(image, findings);
  // A volume that is an image.
  if (key === 'image') takeLikely(valueOf(mapping, 'reference'), findings);
  if (key === 'env' && RELATED_IMAGE.test(textOf(valueOf(mapping, 'name')) ?? ''))
    takeLikely(valueOf(mapping, 'value'), findings);
}

function takeContainer(image: YamlValue | undefined, findings: Findings): void {
  const text = textOf(image);
  if (text === undefined || text === PUT_IN_LATER) return;
  const line = image?.line ?? 1;
  if (/\$\(|\$\{|\{\{/.test(text))
    findings.problem(`${shown(text)}: which image that is says something else`, line);
  else findings.image(text, line);
}

/** Of a key whose meaning is not known: pictures, machine images and the like have no tags. */
function takeLikely(value: YamlValue | undefined, findings: Findings): void {
  const text = textOf(value) ?? '';
  if (HAS_REFERENCE.test(text) && referenceFault(text) === undefined) findings.image(text, value?.line ?? 1);
}

/** `repository` (or `image`, `name` of a Kustomization) with a `tag` or `digest` beside it. @returns is it such a one */
function takeParts(
  key: string,
  mapping: YamlMapping,
  globalHost: string | undefined,
  findings: Findings,
): boolean {
  const scalar = (name: string): YamlScalar | undefined => {
    const value = valueOf(mapping, name);
    return value?.kind === 'scalar' ? value : undefined;
  };
  const repository = scalar('repository') ?? scalar('image') ?? kustomized(key, scalar);
  const tag = scalar('tag') ?? scalar('imageTag') ?? (key === 'images' ? scalar('newTag') : undefined);
  const digest = scalar('digest') ?? scalar('sha');
  const name = textOf(repository) ?? '';
  if (repository === undefined || name === '' || (tag === undefined && digest === undefined)) return false;
  // Charts are kept at such addresses, and have a tag as well.
  if (/^[a-z+]+:\/\//.test(name)) return false;
  const host = scalar('registry');
  const hostText = host === undefined ? '' : (globalHost ?? textOf(host) ?? '');
  const digestText = textOf(scalar('useDigest')) === 'false' ? '' : digestOf(textOf(digest) ?? '');
  const tagText = textOf(tag) ?? '';
  const whole = `${hostText === '' ? '' : `${hostText.replace(/\/+$/, '')}/`}${name}`;
  const isWhole = /:[^/]+$|@/.test(name);
  if (tagText === '' && digestText === '' && !isWhole) {
    const why = 'it has no tag here, the chart says which: give what helm template prints';
    findings.problem(`${shown(whole)}: ${why}`, repository.line);
    return true;
  }
  const suffix = isWhole
    ? ''
    : `${tagText === '' ? '' : `:${tagText}`}${digestText === '' ? '' : `@${digestText}`}`;
  findings.image(`${whole}${suffix}`, repository.line);
  return true;
}

function kustomized(key: string, scalar: (name: string) => YamlScalar | undefined): YamlScalar | undefined {
  return key === 'images' ? (scalar('newName') ?? scalar('name')) : undefined;
}

/** Grafana's charts have it without its algorithm. */
function digestOf(text: string): string {
  return /^[0-9a-f]{64}$/.test(text) ? `sha256:${text}` : text;
}

/** What Bitnami's charts take in place of every `registry`. */
function globalRegistry(root: YamlValue): string | undefined {
  const all = root.kind === 'mapping' ? valueOf(root, 'global') : undefined;
  const text = all?.kind === 'mapping' ? textOf(valueOf(all, 'imageRegistry')) : undefined;
  return text === '' ? undefined : text;
}
