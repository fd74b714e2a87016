/** What one signs in to a registry with. */
export type Credential =
  | { readonly kind: 'basic'; readonly username: string; readonly password: string }
  /** An OAuth2 refresh token: the token endpoint gives access tokens for it (distribution's oauth.md). */
  | { readonly kind: 'identity-token'; readonly token: string }
  /** Sent to the registry as it is. */
  | { readonly kind: 'bearer'; readonly token: string };

/**
 * Where the credentials of one upstream (or of one pattern of its repositories, or of one mirror) come from: the
 * configuration, a file, a program, a cloud. What it gives is for the host that it was opened for and no other.
 */
export interface CredentialSource {
  /** For metrics and log, from a closed set: the configured user name, or the kind of `auth`. Never a secret. */
  readonly account: string;
  /**
   * Whether a cloud makes what it gives, so that what is of no use any more can be replaced at any time. Default false.
   */
  readonly isMinted?: boolean;
  /**
   * What to sign in with for this repository now; `undefined`: anonymously. Cheap when nothing changed, so it may be
   * asked before every request; shared while in flight (one call's abort leaves it to the others), renewed before it
   * expires.
   * @throws UpstreamError `denied` or `unavailable`, which names the upstream and its key and holds no secret; the
   * signal's reason; `unavailable` after `close`
   */
  credential(repository: string, signal: AbortSignal): Promise<Credential | undefined>;
  /**
   * The registry refused it: the next call reads anew (file, program, cloud), within a bound on how often; it may well
   * give the same again.
   */
  refused(credential: Credential): void;
  /** Calls in flight fail, and so do later ones. Idempotent. */
  close(): void;
}
