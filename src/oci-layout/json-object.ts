/** A JSON value as an object to look keys up in: an empty one for everything else. */
export function objectFrom(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}
