/**
 * Invariants. An assertion catches defects of undrop; errors from outside are an
 * `UndropError` (errors.ts). Invariant: a failed assertion never leaves a statement half done
 * silently; it ends the session it happened in.
 */

/** Thrown if code of undrop broke one of its invariants. */
export class InvariantError extends Error {
  override readonly name = 'InvariantError';
}

/** Throws an `InvariantError` if `condition` does not hold; `message` says what should have. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new InvariantError(`Invariant broken: ${message}`);
}

/** Ends every switch over a union: does not compile while a case is missing. */
export function assertNever(value: never): never {
  throw new InvariantError(`Unlisted case: ${JSON.stringify(value)}`);
}
