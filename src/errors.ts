/**
 * The errors of undrop: their fields, and how a client sees them. The registry is in two files,
 * client-errors.ts and operation-errors.ts; docs/reference/errors.md is made of them
 * (`UPDATE_GOLDEN=1 npm test -- errors`).
 *
 * Invariant: a client gets the text of the registry for an `UndropError`, and UNDROP_INTERNAL with
 * a reference to the log for anything else (`toClientError`).
 * errno and SQLSTATE are in the server's ranges (1000–1999 and from 3000 on; 2000–2999 belongs to
 * client libraries).
 */
import { CLIENT_ERRORS } from './client-errors.js';
import { OPERATOR_ERRORS, OUR_ERRORS, UPSTREAM_ERRORS } from './operation-errors.js';

/** Which side has to act: the client, the server, the operator of undrop, or its developers. */
export type Fault = 'client' | 'upstream' | 'operator' | 'us';

/** The log level of an error, by its fault; `metrics.ts` counts refusals by fault. */
export const LOG_LEVELS = {
  client: 'warn',
  upstream: 'warn',
  operator: 'warn',
  us: 'error',
} as const satisfies Record<Fault, 'warn' | 'error'>;

export interface ErrorEntry {
  readonly fault: Fault;
  readonly errno: number;
  /** Five characters. */
  readonly sqlState: string;
  readonly text: string;
  readonly remedy: string;
  /** The text for a client that may be unknown; empty: the same text. */
  readonly forClients: string;
}

function entriesOf<C extends string>(fault: Fault, written: Readonly<Record<C, string>>) {
  const entries = Object.entries<string>(written).map(([code, lines]) => {
    const [numbers = '', text = '', remedy = '', forClients = ''] = lines.split(/\n */);
    const [errno, sqlState = ''] = numbers.split(' ');
    return [code, { fault, errno: Number(errno), sqlState, text, remedy, forClients }];
  });
  return Object.fromEntries(entries) as Readonly<Record<C, ErrorEntry>>;
}

export const ERRORS = {
  ...entriesOf('client', CLIENT_ERRORS),
  ...entriesOf('operator', OPERATOR_ERRORS),
  ...entriesOf('upstream', UPSTREAM_ERRORS),
  ...entriesOf('us', OUR_ERRORS),
};

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

/** An error that isn't in the registry is a fault of undrop. */
export function faultOf(error: unknown): Fault {
  return error instanceof UndropError ? error.entry.fault : 'us';
}

/** The fields of an ERR packet. */
export interface ClientError {
  readonly errno: number;
  readonly sqlState: string;
  readonly message: string;
}

/**
 * The allow-list: an `UndropError` is shown as it is, after its code; anything else becomes
 * UNDROP_INTERNAL with `reference`, under which the caller logs it.
 */
export function toClientError(error: unknown, reference: string): ClientError {
  const known =
    error instanceof UndropError ? error : new UndropError('UNDROP_INTERNAL', { reference });
  const { errno, sqlState, forClients } = known.entry;
  const words = forClients === '' ? known.message : fill(forClients, { reference });
  return { errno, sqlState, message: `${known.code}: ${words}` };
}

function fill(template: string, params: Record<string, string | number>): string {
  return template.replaceAll(/\{(\w+)\}/g, (whole, name: string) => String(params[name] ?? whole));
}

/** The first cause, which is the server's error; the errors around it repeat it. */
export function rootCause(error: unknown): string {
  let found = error;
  while (found instanceof Error && found.cause !== undefined) found = found.cause;
  return (found instanceof Error ? found.message : String(found)).replace(/\.$/, '');
}

// ── invariants ───────────────────────────────────────────────────────────────────────────────────
// An assertion catches defects of undrop; errors from outside are an `UndropError`.

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
