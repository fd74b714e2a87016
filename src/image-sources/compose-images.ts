import { type Findings, referenceFault, shown } from './named-image.ts';
import { expand, type Variables } from './variables.ts';
import { textOf, valueOf, type YamlMapping, type YamlValue } from './yaml-value.ts';

const TOP_LEVEL = /^(?:x-.*|name|version|services|networks|volumes|configs|secrets|include|models)$/;

/** A Compose file has services, and nothing that Compose does not know. */
export function isCompose(root: YamlValue): root is YamlMapping {
  return (
    root.kind === 'mapping' &&
    valueOf(root, 'services')?.kind === 'mapping' &&
    [...root.entries.keys()].every((key) => TOP_LEVEL.test(key))
  );
}

/**
 * The images of a Compose file's services, also those of profiles. A service that is built and has no image is passed
 * over; one with both is taken, as `docker compose pull` does, unless it is never pulled.
 */
export function findComposeImages(root: YamlMapping, variables: Variables, findings: Findings): void {
  const services = valueOf(root, 'services');
  if (services?.kind !== 'mapping') return;
  const mappings = [services, ...services.merged];
  for (const service of mappings.flatMap(({ entries }) => Array.from(entries.values()))) {
    if (service.kind !== 'mapping') continue;
    const policy = textOf(valueOf(service, 'pull_policy'));
    if (policy !== 'build' && policy !== 'never') take(valueOf(service, 'image'), variables, findings);
    const volumes = valueOf(service, 'volumes');
    if (volumes?.kind !== 'list') continue;
    for (const volume of volumes.items)
      if (volume.kind === 'mapping' && textOf(valueOf(volume, 'type')) === 'image')
        take(valueOf(volume, 'source'), variables, findings);
  }
}

function take(image: YamlValue | undefined, variables: Variables, findings: Findings): void {
  const written = textOf(image);
  if (image === undefined || written === undefined) return;
  const expanded = expand(written, variables, '$$');
  if ('problem' in expanded) {
    findings.problem(`${shown(written)}: ${expanded.problem}`, image.line);
    return;
  }
  const { text, unset } = expanded;
  const fault = referenceFault(text);
  if (fault === undefined) findings.image(text, image.line);
  // As it was written: what the variables hold may be anything.
  else findings.problem(`${shown(written)}: ${unset.length > 0 ? unsetFault(unset) : fault}`, image.line);
}

function unsetFault(names: readonly string[]): string {
  const are = names.length === 1 ? 'is' : 'are';
  return `${names.join(' and ')} ${are} not set, neither in .env beside the file nor in the environment`;
}
