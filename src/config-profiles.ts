/**
 * What is special about a registry: the facts that change what entrepot does or says. None of them is needed for a pull
 * to succeed where answers tell the same; they save a request, set a default or avoid a trap.
 * `upstreams.<name>.profile` in the configuration changes them.
 */
export interface RegistryProfile {
  /** The profile's name, whatever was changed of it. */
  readonly name: string;
  /** Names are as at Docker Hub: one component is short for `library/…`, and no namespace has a dot. */
  readonly hubNames: boolean;
  /** False: there is no referrers API, or none that can be relied on. It is not asked; the answer is 404 at once. */
  readonly referrers: boolean;
  /** False: a blob's HEAD is refused or cannot be trusted; one byte of it is asked for instead. */
  readonly headBlobs: boolean;
  /** `n` of a tag list's first page. 0: none is sent. */
  readonly tagsPerPage: number;
  /** True: to whom has credentials too, 401 and 403 may mean that the repository does not exist. */
  readonly hidesMissing: boolean;
  /** True: manifests may come as `text/…`; then the type is what their own `mediaType` says. */
  readonly textManifests: boolean;
  /** Hosts elsewhere that are this registry's token service, and may see the credentials. Lower case. */
  readonly tokenHosts: readonly string[];
  /** What the registry lets one account do. Absent: it names no such limit. */
  readonly pullsPerSecond?: { readonly anonymous: number; readonly authenticated: number } | undefined;
  /** The user name that goes with its usual kind of password: what errors and instructions say, never sent unasked. */
  readonly username?: string | undefined;
}

/** What is known of one registry, or of one program that registries run. */
export interface KnownRegistry {
  /** What `profile` in the configuration calls it. */
  readonly name: string;
  /** Where it is documented, by the names of the protocol document's list of sources. */
  readonly source: string;
  /** Its host names. Absent: only the configuration can tell that a registry is of this kind. */
  readonly hosts?: RegExp;
  /** Where it is asked, when that is not https://<name>. */
  readonly url?: string;
  /** Other names that clients use for it. */
  readonly aliases?: readonly string[];
  /** Where it differs from GENERIC. */
  readonly facts: Partial<Omit<RegistryProfile, 'name'>>;
}

/** A registry of which nothing is known: everything is asked for, and the answers are adapted to. */
export const GENERIC: RegistryProfile = {
  name: 'generic',
  hubNames: false,
  referrers: true,
  headBlobs: true,
  // The most that ECR, GitLab and the reference server allow; who allows less says 400 and is asked without.
  tagsPerPage: 1000,
  hidesMissing: false,
  textManifests: false,
  tokenHosts: [],
};

/** All that is known of registries. The first entry whose `hosts` fit counts. */
export const KNOWN_REGISTRIES: readonly KnownRegistry[] = [
  { name: GENERIC.name, source: 'spec', facts: {} },
  {
    name: 'docker-hub',
    source: 'hub-docs, dist, issues',
    hosts: /^(?:index\.|registry-1\.)?docker\.io$/,
    url: 'https://registry-1.docker.io',
    aliases: ['index.docker.io', 'registry-1.docker.io'],
    // A token is given for what does not exist, too; then it is 401 insufficient_scope, for missing and private alike.
    facts: { hubNames: true, hidesMissing: true },
  },
  {
    name: 'mirror-gcr-io',
    source: 'gcp-docs',
    hosts: /^mirror\.gcr\.io$/,
    facts: { hubNames: true },
  },
  {
    name: 'quay',
    source: 'quay',
    hosts: /^quay\.io$/,
    facts: { hidesMissing: true },
  },
  {
    name: 'ghcr',
    source: 'soci, issues',
    hosts: /^ghcr\.io$/,
    // The token endpoint says 403 DENIED for missing and private alike; signatures are found by fall-back tags.
    facts: { referrers: false, hidesMissing: true },
  },
  {
    name: 'ecr',
    source: 'aws-docs, issues',
    hosts: /^\d{12}\.dkr[.-]ecr(?:-fips)?\.[a-z0-9-]+\.(?:amazonaws\.com(?:\.cn)?|on\.aws)$/,
    facts: { username: 'AWS' },
  },
  {
    name: 'ecr-public',
    source: 'aws-docs, soci, issues',
    hosts: /^(?:ecr-)?public\.ecr\.aws$/,
    facts: { headBlobs: false, username: 'AWS', pullsPerSecond: { anonymous: 1, authenticated: 10 } },
  },
  {
    name: 'acr',
    source: 'acr',
    hosts: /\.azurecr\.(?:io|cn|us)$/,
    facts: { username: '00000000-0000-0000-0000-000000000000' },
  },
  {
    name: 'google',
    source: 'gcp-docs, c/image, issues',
    hosts: /^(?:(?:[a-z0-9-]+\.)?gcr\.io|[a-z0-9-]+-docker\.pkg\.dev)$/,
    facts: { hidesMissing: true, username: '_json_key' },
  },
  {
    name: 'gitlab',
    source: 'gitlab-docs, issues',
    hosts: /^registry\.gitlab\.com$/,
    facts: { hidesMissing: true },
  },
  {
    name: 'harbor',
    source: 'harbor, distribution/distribution#4747',
    // A proxy project answers 404 to the HEAD of a blob that nobody has pulled yet.
    facts: { headBlobs: false },
  },
  {
    name: 'artifactory',
    source: 'jfrog-docs, issues',
    hosts: /\.jfrog\.io$/,
    // The HEAD of a blob says yes to a manifest's digest, which a GET does not have.
    facts: { headBlobs: false, hidesMissing: true },
  },
  {
    name: 'distribution',
    source: 'dist',
    facts: { referrers: false },
  },
  {
    name: 'mcr',
    source: 'issues',
    hosts: /^mcr\.microsoft\.com$/,
    facts: {},
  },
  {
    name: 'kubernetes',
    source: 'archeio',
    hosts: /^registry\.k8s\.io$/,
    // It redirects everything, and loses the query on the way.
    facts: { referrers: false, tagsPerPage: 0 },
  },
  {
    name: 'nvidia',
    source: 'NVIDIA/nvidia-container-toolkit#1945, NERSC/shifter#238',
    hosts: /^nvcr\.io$/,
    facts: {
      textManifests: true,
      tokenHosts: ['authn.nvidia.com'],
      username: '$oauthtoken',
    },
  },
  {
    name: 'red-hat',
    source: 'c/image, issues',
    hosts: /^registry\.(?:access\.redhat\.com|redhat\.io|connect\.redhat\.com)$/,
    facts: { hidesMissing: true },
  },
];

export const PROFILE_NAMES: readonly string[] = KNOWN_REGISTRIES.map(({ name }) => name);
