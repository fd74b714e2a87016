import { expect, test } from 'vitest';
import { imagesIn } from '../../src/image-sources/images-in.ts';
import { processorMs } from '../support/processor-time.ts';

const DIGEST = `sha256:${'a'.repeat(64)}`;

function found(text: string, name = 'x.yaml') {
  const { images, problems } = imagesIn({ name, text }, { variables: {} });
  return {
    images: images.map((image) => `${image.place.replace(`${name}:`, '')} ${image.text}`),
    problems: problems.map(({ place, message }) => `${place.replace(`${name}:`, '')} ${message}`),
  };
}

test('of a Deployment, containers, init containers and ephemeral containers are found, with their lines', () => {
  const text = `apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  annotations: {logo/image: "not/an:image"}
spec:
  template:
    spec:
      initContainers:
        - name: migrate
          image: "ghcr.io/org/migrate:v1"
      containers:
        - name: web
          # image: old/web:1
          image: registry.internal:5000/team/web:2.0@${DIGEST}
        - name: bare
          image: nginx
          imagePullPolicy: Always
      ephemeralContainers:
        - image: 'busybox:1.36'
          name: debug
`;
  expect(found(text)).toEqual({
    images: [
      '11 ghcr.io/org/migrate:v1',
      `15 registry.internal:5000/team/web:2.0@${DIGEST}`,
      '17 nginx',
      '20 busybox:1.36',
    ],
    problems: [],
  });
});

test('a CronJob, a StatefulSet with init containers and a volume that is an image are read', () => {
  const text = `apiVersion: batch/v1
kind: CronJob
spec:
  schedule: "0 3 * * *"
  jobTemplate: {spec: {template: {spec: {containers: [{name: backup, image: "restic/restic:0.17.0"}]}}}}
---
apiVersion: apps/v1
kind: StatefulSet
spec:
  template:
    spec:
      initContainers: [{name: perms, image: "busybox:1"}]
      containers:
      - {name: db, image: "postgres:17-alpine"}
      volumes:
      - name: model
        image:
          reference: quay.io/models/small:v2
          pullPolicy: IfNotPresent
  volumeClaimTemplates: []
`;
  expect(found(text).images).toEqual([
    '5 restic/restic:0.17.0',
    '12 busybox:1',
    '14 postgres:17-alpine',
    '18 quay.io/models/small:v2',
  ]);
});

test('custom resources are read: of Argo, Tekton and operators, and what is only likely needs a tag or digest', () => {
  const text = `apiVersion: argoproj.io/v1alpha1
kind: Workflow
spec:
  templates:
  - name: say
    container: {image: docker/whalesay, command: [cowsay]}
  - name: run
    script:
      image: python:3.13
      source: |
        image: not/this:1
    sidecars:
    - image: redis
  - name: param
    container:
      image: "{{inputs.parameters.image}}"
---
apiVersion: tekton.dev/v1
kind: Task
spec:
  stepTemplate: {image: alpine}
  steps:
  - image: gcr.io/kaniko-project/executor:v1.23.2
---
apiVersion: monitoring.coreos.com/v1
kind: Prometheus
spec:
  image: quay.io/prometheus/prometheus:v3.0.0
  thanos: {image: "thanos"}
---
apiVersion: cluster.x-k8s.io/v1
kind: MachineTemplate
spec: {image: ubuntu-24.04, logo: {image: "https://example.com/a.png:80"}}
---
apiVersion: operators.coreos.com/v1alpha1
kind: ClusterServiceVersion
spec:
  relatedImages: [{name: a, image: "quay.io/a/operand:v1"}]
  install:
    containers:
    - image: quay.io/a/operator:v1
      env: [{name: RELATED_IMAGE_HELPER, value: "quay.io/a/helper:v1"}, {name: OTHER, value: "x/y:z"}]
`;
  expect(found(text)).toEqual({
    images: [
      '6 docker/whalesay',
      '9 python:3.13',
      '13 redis',
      '21 alpine',
      '23 gcr.io/kaniko-project/executor:v1.23.2',
      '28 quay.io/prometheus/prometheus:v3.0.0',
      '38 quay.io/a/operand:v1',
      '41 quay.io/a/operator:v1',
      '42 quay.io/a/helper:v1',
    ],
    problems: ['16 "{{inputs.parameters.image}}": which image that is says something else'],
  });
});

test('lists of objects are read; definitions, config maps, secrets and what a cluster reports are not', () => {
  const text = `apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Pod
  spec:
    containers: [{name: a, image: "a/b:1"}]
  status:
    containerStatuses:
    - image: sha256:${'b'.repeat(64)}
      imageID: docker.io/a/b@${DIGEST}
- apiVersion: v1
  kind: ConfigMap
  data: {image: "c/d:1"}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
spec: {default: {containers: [{image: "e/f:1"}]}}
---
kind: Secret
apiVersion: v1
stringData:
  values: |
    image: g/h:1
`;
  expect(found(text)).toEqual({ images: ['7 a/b:1'], problems: [] });
});

test('what helm template prints is read, and a document that is broken costs only itself', () => {
  const text = `---
# Source: app/templates/sa.yaml
apiVersion: v1
kind: ServiceAccount
---
# Source: app/templates/broken.yaml
apiVersion: apps/v1
kind: Deployment
  spec: {image
---
---
# Source: app/templates/pod.yaml
apiVersion: v1
kind: Pod
spec:
  containers:
    - name: app
      image: "docker.io/org/app:1.2.3"
    - name: proxy
      image: auto
    - name: typo
      image: Org/App:1
    - name: none
      image:
`;
  const { images, problems } = found(text);
  expect(images).toEqual(['18 docker.io/org/app:1.2.3']);
  expect(problems).toEqual([
    expect.stringMatching(/^9 this YAML cannot be read: /),
    '22 "Org/App:1": accepted is [host/]repository[:tag][@digest], with a repository in lower case',
  ]);
});

test('a template is a problem that says what to do, not YAML that names nothing', () => {
  const text = 'apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - image: {{ .Values.image }}\n';
  expect(found(text)).toEqual({
    images: [],
    problems: ['5 it is a template: give what it is rendered to (helm template)'],
  });
});

test('Helm values are read where repository and tag stand together, at any depth', () => {
  const text = `image:
  registry: quay.io
  repository: org/app
  tag: v1
controller:
  image:
    registry: registry.k8s.io
    image: ingress-nginx/controller
    tag: "v1.9.4"
    digest: ${DIGEST}
agent:
  image: {repository: quay.io/cilium/cilium, tag: v1.16.4, digest: "sha256:0", useDigest: false}
grafana: {image: {repository: grafana/grafana, sha: ${'c'.repeat(64)}}}
sidecar: {image: "kiwigrid/k8s-sidecar:1.28.0"}
old: {image: busybox, imageTag: 1.36}
number: {repository: redis, tag: 7}
unset: {repository: org/unset, tag: ""}
chart: {repository: "https://charts.example.com", tag: "1"}
scm: {repository: org/source, branch: main}
`;
  expect(found(text, 'values.yaml')).toEqual({
    images: [
      '3 quay.io/org/app:v1',
      `8 registry.k8s.io/ingress-nginx/controller:v1.9.4@${DIGEST}`,
      '12 quay.io/cilium/cilium:v1.16.4',
      `13 grafana/grafana@sha256:${'c'.repeat(64)}`,
      '14 kiwigrid/k8s-sidecar:1.28.0',
      '15 busybox:1.36',
      '16 redis:7',
    ],
    problems: ['17 "org/unset": it has no tag here, the chart says which: give what helm template prints'],
  });
});

test('a registry for all of a chart stands in for each', () => {
  const text = `global: {imageRegistry: registry.internal}
image: {registry: docker.io, repository: bitnami/redis, tag: "7.4"}
metrics: {image: {repository: quay.io/a/b, tag: v1}}
`;
  expect(found(text).images).toEqual(['2 registry.internal/bitnami/redis:7.4', '3 quay.io/a/b:v1']);
});

test('images of a Kustomization and of other lists are read', () => {
  const text = `apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
images:
- {name: nginx, newTag: "1.27"}
- {name: app, newName: ghcr.io/org/app, digest: "${DIGEST}"}
---
components:
- images: ["ghcr.io/stefanprodan/podinfo:6.4.0", plain]
`;
  expect(found(text).images).toEqual([
    '4 nginx:1.27',
    `5 ghcr.io/org/app@${DIGEST}`,
    '8 ghcr.io/stefanprodan/podinfo:6.4.0',
  ]);
});

test('JSON is YAML, also when all of it is one line', () => {
  const pod = { apiVersion: 'v1', kind: 'Pod', spec: { containers: [{ name: 'a', image: 'a/b:1' }] } };
  expect(found(JSON.stringify(pod, null, 2), 'pod.json').images).toEqual(['8 a/b:1']);
  const items = Array.from({ length: 20_000 }, () => pod);
  const line = JSON.stringify({ apiVersion: 'v1', kind: 'List', items });
  const tookMs = processorMs(() => expect(found(line, 'pods.json').images).toHaveLength(20_000));
  expect(tookMs).toBeLessThan(15_000);
});

test('anchors, aliases and merges mean what they mean to clients', () => {
  const text = `base: &base {name: a, image: "a/b:1"}
spec:
  containers:
  - *base
  - {<<: *base, image: "c/d:2"}
  - <<: [*base]
    name: c
`;
  expect(new Set(found(text).images.map((line) => line.split(' ')[1]))).toEqual(new Set(['a/b:1', 'c/d:2']));
  expect(found('a: *b\n').problems).toEqual(['1 this YAML cannot be read: *b is defined nowhere before it']);
  expect(found('a: &a [*a, {image: "x/y:1"}]\nb: &b {<<: *b, c: 1}\n')).toEqual({
    images: ['1 x/y:1'],
    problems: [],
  });
});

test('a bomb of aliases costs no more than its text', () => {
  const lines = Array.from({ length: 60 }, (_, n) => `a${n + 1}: &a${n + 1} [${`*a${n},`.repeat(50)}]`);
  const tookMs = processorMs(() => {
    expect(found(`a0: &a0 {image: "x/y:1"}\n${lines.join('\n')}\n`).images).toEqual(['1 x/y:1']);
    const keys = Array.from({ length: 10_000 }, (_, n) => `k${n}: 1`).join(', ');
    const merges = Array.from({ length: 10_000 }, (_, n) => `b${n}: {<<: *a}\n`).join('');
    expect(found(`a: &a {${keys}}\n${merges}c: {image: "x/y:2"}\n`).images).toEqual(['10002 x/y:2']);
  });
  expect(tookMs).toBeLessThan(10_000);
});

test('what is nested too deep, or too large at once, is a problem', () => {
  expect(found(`a: ${'['.repeat(100_000)}`).problems).toEqual([
    '1 this YAML cannot be read: it is nested too deep',
  ]);
  expect(found(`a: "${'x'.repeat(5_000_000)}"\n---\nimage: a/b:1\n`)).toEqual({
    images: ['3 a/b:1'],
    problems: ['1 it is larger than 4194304 bytes'],
  });
});

const item = (n: number) =>
  `- kind: Pod\n  spec:\n    containers:\n    - image: a/b:${n}\n      args: ["${'x'.repeat(5000)}"]\n`;

test('a long list is read item by item, and a bad item costs only itself', () => {
  const items = Array.from({ length: 300 }, (_, n) => (n === 7 ? '- bad: [\n' : item(n)));
  const text = `apiVersion: v1\nitems:\n${items.join('')}kind: List\n`;
  expect(text.length).toBeGreaterThan(1024 * 1024);
  const { images, problems } = found(text);
  expect(images).toHaveLength(299);
  expect(images.slice(0, 2)).toEqual(['6 a/b:0', '11 a/b:1']);
  expect(problems).toEqual([expect.stringMatching(/^3[89] this YAML cannot be read/)]);
});
