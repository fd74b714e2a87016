/** A scenario that this machine cannot do: a program is missing, or there is too little of something. Told, and no failure. */
export class Skipped extends Error {
  override readonly name = 'Skipped';
}
