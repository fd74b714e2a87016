import { html } from 'hono/html';
import { digest, type Html } from './formats.ts';

export interface NamedParts {
  readonly upstream?: string | undefined;
  readonly repository?: string | undefined;
  /** A tag or a digest. */
  readonly reference?: string | undefined;
}

/** As people write it; a digest with its first digits only. */
export function imageName({ upstream, repository, reference }: NamedParts): Html {
  const name = [upstream, repository].filter((part) => part !== undefined).join('/');
  if (reference === undefined) return html`${name}`;
  return reference.includes(':') ? html`${name}@${digest(reference)}` : html`${name}:${reference}`;
}

/** In full, to be pulled, explained or pinned by. */
export function imageText({ upstream, repository, reference }: NamedParts): string {
  const name = [upstream, repository].filter((part) => part !== undefined).join('/');
  if (reference === undefined) return name;
  return `${name}${reference.includes(':') ? '@' : ':'}${reference}`;
}
