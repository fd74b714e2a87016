import { type Command, Option } from 'commander';

/** What commander gives of the options that addImageOptions adds. */
export interface ImageOptions {
  readonly from?: readonly string[];
  readonly platform?: readonly string[];
  readonly tags?: string;
  readonly seenWithin?: string;
  readonly withReferrers?: boolean;
}

/** The arguments and options that say which images a command is about. */
export function addImageOptions(command: Command): Command {
  return addNamedImageOptions(command, '; with --tags also without a tag').option(
    '--tags <selection>',
    'which tags of what is named without one: a semver range, or a regular expression',
  );
}

/** The same for a command to which a name without a tag is always `latest`: nobody is asked which tags there are. */
export function addNamedImageOptions(command: Command, more = ''): Command {
  return command
    .argument('[images...]', `such as nginx:1.27, quay.io/coreos/etcd@sha256:…${more}`)
    .option(
      '--from <files...>',
      'image lists, Kubernetes YAML, Compose files, Dockerfiles, Helm values, directories of them; - is standard input',
    )
    .addOption(
      new Option(
        '--platform <platforms>',
        'only these of images of several: linux/amd64,linux/arm64',
      ).argParser((text: string, before: readonly string[] | undefined) => [
        ...(before ?? []),
        ...text.split(','),
      ]),
    )
    .option('--seen-within <duration>', 'also what the cache served within so long, such as 30d')
    .option('--with-referrers', 'also what refers to them: signatures, SBOMs, attestations');
}
