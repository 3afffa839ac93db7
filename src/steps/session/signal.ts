/** SIGNAL: an error raised in the session itself, so that SHOW WARNINGS has it too. */
import type { ErrPacket } from '../../wire/response.js';

export interface Signal {
  readonly errno: number;
  readonly sqlState: string;
  /** MySQL takes 128 characters. */
  readonly message: string;
}

/** MESSAGE_TEXT of MySQL. */
export const SIGNAL_CHARACTERS_MAX = 128;

/** An error that came in `charset`, to be raised; null: its text can't be read, or is too long. */
export function signalOf(
  { errno, sqlState, message }: ErrPacket,
  charset: string | null,
): Signal | null {
  const isPlain = message.every((byte) => byte !== 0 && byte < 0x80);
  if (!isPlain && charset?.startsWith('utf8') !== true) return null;
  const text = message.toString();
  return text.length > SIGNAL_CHARACTERS_MAX ? null : { errno, sqlState, message: text };
}

export function signalSql(signal: Signal): Buffer {
  return Buffer.from(`SIGNAL SQLSTATE '${signal.sqlState}' SET ${signalInformation(signal)}`);
}

/** The text in hex, as the session's charset and sql_mode may be anything. */
export function signalInformation({ errno, message }: Omit<Signal, 'sqlState'>): string {
  const hex = Buffer.from(message).toString('hex');
  return `MYSQL_ERRNO = ${errno}, MESSAGE_TEXT = _utf8mb4 X'${hex}'`;
}
