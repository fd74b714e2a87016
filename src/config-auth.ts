import type { FileAuth } from './config-schema-upstream.ts';
import { secretFrom, type Surroundings } from './config-secret.ts';

export interface BasicAuth {
  readonly username: string;
  readonly password: string;
}

/** @param path the key path of `auth` */
export function authFrom(
  auth: FileAuth | undefined,
  path: readonly string[],
  surroundings: Surroundings,
): BasicAuth | undefined {
  if (auth === undefined) return undefined;
  const username = secretFrom(auth, 'username', path, surroundings);
  const password = secretFrom(auth, 'password', path, surroundings);
  const { problems } = surroundings;
  if (username === undefined)
    problems.addDerived([...path, 'username'], 'is missing; username or usernameFile gives it');
  if (password === undefined)
    problems.addDerived([...path, 'password'], 'is missing; password or passwordFile gives it');
  // RFC 7617 §2: the first colon ends the user name.
  if (username?.includes(':') === true)
    problems.add([...path, 'username'], 'must not hold a colon', username);
  for (const [key, value] of Object.entries({ username, password })) {
    if (/\p{Cc}/u.test(value ?? ''))
      problems.add([...path, key], 'must not hold line breaks or control characters');
  }
  return username === undefined || password === undefined ? undefined : { username, password };
}
