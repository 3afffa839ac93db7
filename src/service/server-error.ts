/** An error that the server itself answered with. The driver's own has statements in its text. */
export class ServerError extends Error {
  override readonly name = 'ServerError';
  readonly errno: number;
  readonly sqlState: string;
  readonly sqlMessage: string;

  constructor(answer: { errno: number; sqlState: string; sqlMessage: string }) {
    super(`${answer.sqlMessage} (${answer.errno})`);
    this.errno = answer.errno;
    this.sqlState = answer.sqlState;
    this.sqlMessage = answer.sqlMessage;
  }
}

/** Whether the server answered with an error (one of `errnos`, where given). */
export function isServerError(error: unknown, ...errnos: readonly number[]): error is ServerError {
  return error instanceof ServerError && (errnos.length === 0 || errnos.includes(error.errno));
}

/** The server's answer in an error of the driver; null where the server has not answered. */
export function serverErrorOf(error: unknown): ServerError | null {
  if (!(error instanceof Error)) return null;
  const { errno, sqlState, sqlMessage } = error as Partial<ServerError>;
  if (typeof errno !== 'number' || typeof sqlState !== 'string') return null;
  return new ServerError({ errno, sqlState, sqlMessage: sqlMessage ?? error.message });
}
