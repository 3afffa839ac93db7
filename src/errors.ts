/**
 * The error registry: every error that undrop itself answers with, declared once. docs/errors.md is
 * generated from this table (`UPDATE_GOLDEN=1 npm test -- errors`).
 *
 * Invariant: what a client may see of our own errors is exactly what stands here; anything else
 * reaches it as UNDROP_INTERNAL with a reference to the log (`toClientError`).
 * errno and SQLSTATE are of the server's range (1000–1999; 2000–2999 belongs to client libraries).
 */

/** Who has to act: the one who sent it, the server, who runs undrop, or its developers. */
export type Fault = 'client' | 'upstream' | 'operator' | 'us';

export interface ErrorEntry {
  readonly fault: Fault;
  /** Error number of the ERR packet. */
  readonly errno: number;
  /** Five characters. */
  readonly sqlState: string;
  /** What was expected and what came; `{name}` is replaced by a parameter. */
  readonly text: string;
  /** One sentence on what to do. */
  readonly remedy: string;
}

export const ERRORS = {
  UNDROP_INTERNAL: {
    fault: 'us',
    errno: 1105,
    sqlState: 'HY000',
    text: 'undrop failed inside (reference {reference}); no table was destroyed.',
    remedy: 'Look for the reference in the log of undrop and report it.',
  },
  UNDROP_CONFIG: {
    fault: 'operator',
    errno: 1105,
    sqlState: 'HY000',
    text: '{problems}',
    remedy: 'See `undrop serve --help` for every setting with its unit, range and default.',
  },
  UNDROP_SERVICE_FAILED: {
    fault: 'upstream',
    errno: 1105,
    sqlState: 'HY000',
    text: 'The service account could not {step} on {server}: {cause}.',
    remedy: 'Check UNDROP_USER, its password and its grants, and that the server is reachable.',
  },
  UNDROP_DEADLINE: {
    fault: 'upstream',
    errno: 1105,
    sqlState: 'HY000',
    text: 'The server {server} gave the service connection no answer within {deadlineMs} ms.',
    remedy: 'Look at the load of the server and at the network between it and undrop.',
  },
  UNDROP_BAD_NAME: {
    fault: 'client',
    errno: 1103,
    sqlState: '42000',
    text: 'Expected a name of 1 to 64 characters without NUL, found {name}.',
    remedy: 'Use a name that the server takes.',
  },
  UNDROP_LEDGER_UNAVAILABLE: {
    fault: 'operator',
    errno: 1105,
    sqlState: 'HY000',
    text: 'The ledger could not be written on {server} ({cause}), so nothing was dropped.',
    remedy: 'Check the grants of the service account on _undrop and the free disk space.',
  },
  UNDROP_NAME_TAKEN: {
    fault: 'client',
    errno: 1050,
    sqlState: '42S01',
    text: 'Held table {id} was not restored: {table} exists.',
    remedy: 'Restore under another name (--to), or move the live table out of the way first.',
  },
  UNDROP_NOT_HELD: {
    fault: 'client',
    errno: 1146,
    sqlState: '42S02',
    text: 'Expected held table {id} as {table}; it is not there.',
    remedy: 'Look at `undrop list`: it was restored, collected or renamed meanwhile.',
  },
  UNDROP_NOT_RESTORABLE: {
    fault: 'client',
    errno: 1105,
    sqlState: 'HY000',
    text: 'Held table {id} is in state {state}: rows of it may be gone.',
    remedy: 'Bring it back from a backup, or rename it by hand to see what is left.',
  },
  UNDROP_BUSY: {
    fault: 'client',
    errno: 1205,
    sqlState: 'HY000',
    text: 'Table {table} is locked by another session, so nothing was changed ({cause}).',
    remedy: 'Try again, or find the session in the processlist.',
  },
} as const satisfies Record<string, ErrorEntry>;

export type ErrorCode = keyof typeof ERRORS;

/** An error with an entry in the registry. `message` is the text and the remedy, filled in. */
export class UndropError extends Error {
  override readonly name = 'UndropError';
  readonly code: ErrorCode;

  constructor(code: ErrorCode, params: Record<string, string | number> = {}, cause?: unknown) {
    const { text, remedy } = ERRORS[code];
    super(`${fill(text, params)} ${fill(remedy, params)}`, cause === undefined ? {} : { cause });
    this.code = code;
  }

  get entry(): ErrorEntry {
    return ERRORS[this.code];
  }
}

/** What an ERR packet needs. */
export interface ClientError {
  readonly errno: number;
  readonly sqlState: string;
  readonly message: string;
}

/**
 * The white-list: an `UndropError` is shown as it is, behind its code; anything else becomes
 * UNDROP_INTERNAL with `reference`, under which the caller logs it.
 */
export function toClientError(error: unknown, reference: string): ClientError {
  const known =
    error instanceof UndropError ? error : new UndropError('UNDROP_INTERNAL', { reference });
  const { errno, sqlState } = known.entry;
  return { errno, sqlState, message: `${known.code}: ${known.message}` };
}

function fill(template: string, params: Record<string, string | number>): string {
  return template.replaceAll(/\{(\w+)\}/g, (whole, name: string) => String(params[name] ?? whole));
}
