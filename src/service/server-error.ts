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
