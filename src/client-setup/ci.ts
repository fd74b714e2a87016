import { buildkitConfig, buildkitLimits } from './buildkit.ts';
import { type Client, type ClientSetup, setupFile, type SetupRequest } from './client-setup.ts';
import { directReference } from './direct-reference.ts';
import { daemonSettings } from './dockerd.ts';
import { yamlText } from './yaml-text.ts';

/** Jobs of CI services: they reach the cache only where its network lets them. */
export const ciClients: readonly Client[] = [
  {
    id: 'github-actions',
    aliases: ['github'],
    title: 'GitHub Actions (Docker and Buildx in a job)',
    setup: setupGithub,
  },
  {
    id: 'gitlab-ci',
    aliases: ['gitlab'],
    title: 'GitLab CI (Docker-in-Docker and Buildx in a job)',
    setup: setupGitlab,
  },
];

const AUTHORITY = '/etc/docker/entrepot-ca.crt';
const DAEMON_LIMIT =
  "A job's Docker daemon asks its mirrors for Docker Hub only; other registries come through the cache in Buildx builds, or by their name at the cache.";

function setupGithub(request: SetupRequest): ClientSetup {
  const daemon = JSON.stringify(daemonSettings(request));
  const workflow = {
    name: 'build through entrepot',
    on: ['push'],
    jobs: {
      build: {
        'runs-on': 'ubuntu-latest',
        steps: [
          { uses: 'actions/checkout@v4' },
          {
            name: 'Docker pulls through entrepot',
            run: [
              ...authorityLines(request),
              'test -s /etc/docker/daemon.json || echo "{}" | sudo tee /etc/docker/daemon.json',
              `jq '. + ${daemon}' /etc/docker/daemon.json > daemon.json`,
              'sudo mv daemon.json /etc/docker/daemon.json',
              'sudo systemctl restart docker',
              '',
            ].join('\n'),
          },
          {
            uses: 'docker/setup-buildx-action@v3',
            with: { 'buildkitd-config-inline': buildkitConfig(request, AUTHORITY) },
          },
          { uses: 'docker/build-push-action@v6', with: { context: '.' } },
        ],
      },
    },
  };
  const comment = 'An example: take the two steps in the middle over into the jobs that build or pull.';
  return {
    files: [setupFile('.github/workflows/entrepot.yaml', yamlText(comment, workflow))],
    steps: [
      'Put the steps into your workflow. A runner of your own may have its Docker daemon set up once instead: entrepot setup dockerd.',
    ],
    limits: [
      'Runners that GitHub hosts reach the cache only where it is reachable from the internet; put authentication in front of it there.',
      DAEMON_LIMIT,
      ...buildkitLimits(request),
    ],
  };
}

function setupGitlab(request: SetupRequest): ClientSetup {
  const settings = daemonSettings(request);
  const flags = [
    ...(settings['registry-mirrors'] ?? []).map((mirror) => `--registry-mirror=${mirror}`),
    ...(settings['insecure-registries'] ?? []).map((host) => `--insecure-registry=${host}`),
  ];
  const pipeline = {
    build: {
      image: 'docker:28',
      services: [{ name: 'docker:28-dind', alias: 'docker', command: flags }],
      variables: { DOCKER_TLS_CERTDIR: '/certs' },
      before_script: [
        [
          ...authorityLines(request),
          "cat > buildkitd.toml <<'END'",
          buildkitConfig(request, AUTHORITY).trimEnd(),
          'END',
          'docker context create entrepot',
          'docker buildx create --use --buildkitd-config buildkitd.toml entrepot',
          '',
        ].join('\n'),
      ],
      script: ['docker buildx build .'],
    },
  };
  const images = request.routes.flatMap((route) => directReference(request.cache, route) ?? []);
  const comment = `An example: take services, variables and before_script over into the jobs that build or pull.\nImages of jobs are pulled by the runner's own daemon (entrepot setup dockerd on the runner), or named at the cache:\n${images.map((image) => `  image: ${image}`).join('\n')}`;
  return {
    files: [setupFile('.gitlab-ci.yml', yamlText(comment, pipeline), { merge: true })],
    steps: ['Put it into your pipeline. The runner must allow privileged containers for Docker-in-Docker.'],
    limits: [
      DAEMON_LIMIT,
      ...(request.cache.ca === undefined
        ? []
        : [
            `The dind service trusts the authority only where the runner mounts it: volumes = ["<dir>:/etc/docker/certs.d/${request.cache.host}:ro"] in config.toml.`,
          ]),
      ...buildkitLimits(request),
    ],
  };
}

/** Puts the authority's certificate, which is no secret, where Docker and Buildx look for it. */
function authorityLines({ cache }: SetupRequest): readonly string[] {
  if (cache.ca === undefined) return [];
  const directory = `/etc/docker/certs.d/${cache.host}`;
  return [
    `$(command -v sudo) mkdir -p '${directory}'`,
    `$(command -v sudo) tee ${AUTHORITY} '${directory}/ca.crt' <<'END'`,
    cache.ca.trimEnd(),
    'END',
  ];
}
