import { ACR } from './acr.ts';
import { ARTIFACTORY, NEXUS } from './artifactory.ts';
import { DISTRIBUTION_BASIC, DISTRIBUTION_BEARER, DISTRIBUTION_OPEN } from './distribution.ts';
import { DOCKER_HUB } from './docker-hub.ts';
import { ECR, ECR_PUBLIC } from './ecr.ts';
import type { Wire } from './emulated-registry.ts';
import { GHCR } from './ghcr.ts';
import { GITLAB, GITLAB_SELF_MANAGED } from './gitlab.ts';
import { ARTIFACT_REGISTRY, GCR, MIRROR_GCR } from './google.ts';
import { HARBOR } from './harbor.ts';
import { NVIDIA } from './nvidia.ts';
import { KUBERNETES, MCR } from './open-registries.ts';
import { QUAY } from './quay.ts';
import { RED_HAT, RED_HAT_PRIVATE } from './red-hat.ts';

/** Every registry that is emulated. */
export const KNOWN_WIRES: readonly Wire[] = [
  DOCKER_HUB,
  MIRROR_GCR,
  QUAY,
  GHCR,
  ECR,
  ECR_PUBLIC,
  ACR,
  ARTIFACT_REGISTRY,
  GCR,
  GITLAB,
  GITLAB_SELF_MANAGED,
  HARBOR,
  ARTIFACTORY,
  NEXUS,
  DISTRIBUTION_OPEN,
  DISTRIBUTION_BASIC,
  DISTRIBUTION_BEARER,
  MCR,
  KUBERNETES,
  NVIDIA,
  RED_HAT,
  RED_HAT_PRIVATE,
];
