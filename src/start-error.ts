/**
 * Why the program cannot start although its configuration is sound: a port in use, a data directory that cannot be
 * written or that another process holds. The message is one sentence for the operator, printed as it stands.
 */
export class StartError extends Error {
  override readonly name = 'StartError';
}
