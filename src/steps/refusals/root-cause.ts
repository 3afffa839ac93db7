/** Of an error that has gone through several hands. */

/** The first cause, which is what the server said; what is around it says the same again. */
export function rootCause(error: unknown): string {
  const found = firstCause(error);
  return (found instanceof Error ? found.message : String(found)).replace(/\.$/, '');
}

function firstCause(error: unknown): unknown {
  let found = error;
  while (found instanceof Error && found.cause !== undefined) found = found.cause;
  return found;
}
