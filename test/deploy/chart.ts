import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { type FinishedProgram, runProgram } from '../support/child-program.ts';
import { programPath } from '../support/programs.ts';

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
  readonly metadata: { readonly name: string; readonly namespace: string; readonly labels: Labels };
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
}

export interface Probe {
  readonly httpGet: { readonly path: string; readonly port: string };
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
  readonly metadata: { readonly labels: Labels };
  readonly spec: {
    readonly serviceAccountName: string;
    readonly automountServiceAccountToken: boolean;
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
