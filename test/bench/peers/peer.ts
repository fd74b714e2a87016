import type { ServerProcess } from '../server-process.ts';

/** A pull-through cache that the bench can measure; entrepot is one of them. */
export interface Peer {
  readonly name: string;
  /** How it is configured, in one line. */
  readonly says: string;
  /** Its failure is ours: nothing is left out for it. */
  readonly isOurs?: true;
  /** Whether it is on this machine. Never throws. */
  find(): Promise<Found | Missing>;
  /** With an empty cache. @throws when it does not serve in time */
  start(options: PeerOptions): Promise<RunningPeer>;
  /** What it cannot do by its nature, each with the reason. */
  readonly limits: Readonly<Partial<Record<Ability, string>>>;
}

/** What some work asks of a peer beyond a pull as clients do it: manifest by tag, config, layers. */
export type Ability = 'a cold blob without its image';

export interface Found {
  readonly file: string;
  readonly version: string;
}

export interface Missing {
  /** How to get it. */
  readonly missing: string;
}

export interface PeerOptions {
  /** An existing, empty directory of its own: data, configuration and log. */
  readonly dir: string;
  readonly upstreamUrl: string;
  /** The program, as `find` found it. */
  readonly file: string;
}

export interface RunningPeer {
  readonly name: string;
  readonly process: ServerProcess;
  /** Without a slash at the end. */
  readonly url: string;
  /** The directory it was given. */
  readonly dir: string;
}

/** A peer that is here. */
export interface Contestant {
  readonly peer: Peer;
  readonly found: Found;
}
