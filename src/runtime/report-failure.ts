/** The end of a command that failed: why, on standard error, and the exit code. */
import type { UndropError } from '../errors.js';
import type { Shell } from '../faces/cli/settings.js';

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;

/** The arguments are wrong; the message is that of yargs. */
export class WrongUsage extends Error {}

/** Prints on standard error why a command failed, and returns the exit code. */
export function reportFailure(error: unknown, stderr: Shell['stderr']): number {
  if (error instanceof WrongUsage) {
    const see = 'See `undrop --help`, or `undrop <command> --help`.';
    stderr.write(`undrop: ${error.message}\n${see}\n`);
    return EXIT_USAGE;
  }
  const isKnown = isUndropError(error);
  stderr.write(`undrop: ${isKnown ? `${error.code}: ${error.message}` : describeFailure(error)}\n`);
  return isKnown && error.code === 'UNDROP_CONFIG' ? EXIT_USAGE : EXIT_FAILED;
}

/** By its name, because the file of the demo has a copy of the class. */
function isUndropError(error: unknown): error is UndropError {
  return error instanceof Error && error.name === 'UndropError';
}

/** A driver's error needs only its message; an unexpected one needs its stack. */
function describeFailure(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === 'ServerError') return `the server returned: ${error.message}`;
  const { code } = error as NodeJS.ErrnoException;
  return typeof code === 'string' ? error.message : (error.stack ?? error.message);
}
