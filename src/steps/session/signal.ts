/** SIGNAL: an error raised in the session itself, so that SHOW WARNINGS has it too. */
export interface Signal {
  readonly errno: number;
  readonly sqlState: string;
  /** MySQL takes 128 characters. */
  readonly message: string;
}

/** MESSAGE_TEXT of MySQL. */
export const SIGNAL_CHARACTERS_MAX = 128;

export function signalSql(signal: Signal): Buffer {
  return Buffer.from(`SIGNAL SQLSTATE '${signal.sqlState}' SET ${signalInformation(signal)}`);
}

/** The text in hex, as the session's charset and sql_mode may be anything. */
export function signalInformation({ errno, message }: Omit<Signal, 'sqlState'>): string {
  const hex = Buffer.from(message).toString('hex');
  return `MYSQL_ERRNO = ${errno}, MESSAGE_TEXT = _utf8mb4 X'${hex}'`;
}
