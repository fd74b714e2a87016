/** A small public image of each well-known registry, as an example and to see whether the registry answers. */
const SAMPLES: Readonly<Record<string, string>> = {
  'docker.io': 'library/alpine:latest',
  'quay.io': 'prometheus/busybox:latest',
  'ghcr.io': 'actions/actions-runner:latest',
  'gcr.io': 'distroless/static:latest',
  'registry.k8s.io': 'pause:3.9',
  'mcr.microsoft.com': 'hello-world:latest',
  'public.ecr.aws': 'docker/library/alpine:latest',
  'registry.gitlab.com': 'gitlab-org/gitlab-runner:latest',
  'nvcr.io': 'nvidia/cuda:12.4.1-base-ubuntu22.04',
  'registry.access.redhat.com': 'ubi9/ubi:latest',
  'registry.redhat.io': 'ubi9/ubi:latest',
};

/** `repository:tag`; `undefined` for registries that are not well known. */
export function sampleImage(upstream: string): string | undefined {
  return Object.hasOwn(SAMPLES, upstream) ? SAMPLES[upstream] : undefined;
}
