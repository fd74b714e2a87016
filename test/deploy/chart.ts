import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { type Config, loadConfig } from '../../src/config.ts';
import { type FinishedProgram, runProgram } from '../support/child-program.ts';
import { programPath } from '../support/programs.ts';
import { tempDir } from '../support/temp-dir.ts';
import { serverCertificate } from '../upstream/certificates.ts';

export const CHART = join(import.meta.dirname, '..', '..', 'deploy', 'helm', 'entrepot');
export const NAMESPACE = 'entrepot';
/** Of the cluster that it is rendered for. */
const KUBERNETES = '1.31.0';

export type Labels = Readonly<Record<string, string>>;
export type Values = Readonly<Record<string, unknown>>;

/** What is read of any document. */
export interface Resource {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly labels: Labels;
    readonly annotations?: Labels;
  };
  readonly spec: Values;
  readonly data?: Readonly<Record<string, string>>;
}

export interface Confinement {
  readonly runAsUser?: number;
  readonly runAsNonRoot?: boolean;
  readonly readOnlyRootFilesystem?: boolean;
  readonly allowPrivilegeEscalation?: boolean;
  readonly fsGroup?: number;
  readonly capabilities?: { readonly drop?: readonly string[]; readonly add?: readonly string[] };
  readonly seccompProfile?: { readonly type: string };
  readonly seLinuxOptions?: Labels;
}

export interface Probe {
  readonly httpGet: { readonly path: string; readonly port: string; readonly host?: string };
}

export interface Container {
  readonly image: string;
  readonly command?: readonly string[];
  readonly securityContext: Confinement;
  readonly ports?: readonly {
    readonly name: string;
    readonly containerPort: number;
    readonly hostPort?: number;
    readonly hostIP?: string;
  }[];
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[];
  readonly startupProbe?: Probe;
  readonly livenessProbe?: Probe;
  readonly readinessProbe?: Probe;
}

export interface Pod {
  readonly metadata: { readonly labels: Labels; readonly annotations: Labels };
  readonly spec: {
    readonly serviceAccountName: string;
    readonly automountServiceAccountToken: boolean;
    readonly hostNetwork?: boolean;
    readonly terminationGracePeriodSeconds: number;
    readonly securityContext: Confinement;
    readonly initContainers?: readonly Container[];
    readonly containers: readonly Container[];
    readonly volumes: readonly {
      readonly name: string;
      readonly configMap?: { readonly name: string };
      readonly secret?: { readonly secretName: string };
    }[];
  };
}

/** `helm` with the chart. `values` as `--values` has them. */
export async function helm(
  command: 'lint' | 'template',
  values: Values = {},
  options: readonly string[] = [],
): Promise<FinishedProgram> {
  const sets = Object.entries(values).map(([key, value]) => `--set-json=${key}=${JSON.stringify(value)}`);
  const args =
    command === 'lint'
      ? ['lint', '--strict', CHART]
      : ['template', 'entrepot', CHART, `--namespace=${NAMESPACE}`];
  return runProgram(programPath('helm'), [...args, `--kube-version=${KUBERNETES}`, ...sets, ...options]);
}

/** The text of what the chart makes of values. @throws what helm says against it */
export async function rendered(values: Values = {}, options: readonly string[] = []): Promise<string> {
  const { code, stdout, stderr } = await helm('template', values, options);
  if (code !== 0) throw new Error(stderr);
  return stdout;
}

/** @throws what is wrong with it as YAML, a key that is there twice for instance */
export function resourcesIn(text: string): readonly Resource[] {
  return parseAllDocuments(text, { uniqueKeys: true, strict: true }).flatMap((document) => {
    const [problem] = [...document.errors, ...document.warnings];
    if (problem) throw problem;
    const resource = document.toJS() as Resource | null;
    return resource === null ? [] : [resource];
  });
}

/** The one of that kind. */
export function only(resources: readonly Resource[], kind: string): Resource {
  const found = resources.filter((resource) => resource.kind === kind);
  expect(found, kind).toHaveLength(1);
  return found[0] as Resource;
}

/** The StatefulSet or DaemonSet, and what its pods are. */
export function workload(resources: readonly Resource[]): { readonly resource: Resource; readonly pod: Pod } {
  const found = resources.find(({ kind }) => kind === 'StatefulSet' || kind === 'DaemonSet');
  expect.assert(found !== undefined);
  return { resource: found, pod: found.spec['template'] as Pod };
}

/** What the chart's ConfigMap says, as entrepot itself reads it in the container. */
export async function configuration(
  resources: readonly Resource[],
  environment: Readonly<Record<string, string>> = {},
): Promise<Config> {
  const directory = await tempDir();
  for (const [name, text] of [
    ['entrepot/admin-token', 'token\n'],
    ['entrepot-tls/tls.crt', serverCertificate.cert],
    ['entrepot-tls/tls.key', serverCertificate.key],
  ] as const) {
    await mkdir(join(directory, name, '..'), { recursive: true });
    await writeFile(join(directory, name), text);
  }
  const file = join(directory, 'config.yaml');
  const holder = resources.find(({ data }) => data?.['config.yaml'] !== undefined);
  const text = holder?.data?.['config.yaml'];
  expect.assert(text !== undefined);
  await writeFile(file, text.replaceAll('/run/secrets/', `${directory}/`));
  return loadConfig({ file, environment: { HUB_TOKEN: 'x', ...environment }, workingDir: '/' });
}
