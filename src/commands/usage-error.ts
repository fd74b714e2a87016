/** What was asked for on the command line cannot be; the message is for the user. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}
