/** What undrop refuses: the error of its own that something throws. */
import { UndropError } from '../../src/errors.js';

/** Null: nothing is thrown. Errors that are none of undrop's own are no refusal, and thrown on. */
export function refusal(run: () => unknown): UndropError | null {
  try {
    run();
    return null;
  } catch (error) {
    if (error instanceof UndropError) return error;
    throw error;
  }
}
