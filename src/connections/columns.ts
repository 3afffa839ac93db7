/**
 * Reads typed values from a row: `col.text(row, 'id')`. Servers differ in the type of the same
 * expression (a literal 1 is a BIGINT on MySQL and an INT on MariaDB), so each reader accepts all
 * equivalent types.
 */
import { assert } from '../assert.js';
import type { Row } from './pool/pools.js';

export function text(row: Row, column: string): string {
  const value = row[column];
  if (Buffer.isBuffer(value)) return value.toString('utf8');
  assert(['string', 'number', 'bigint'].includes(typeof value), `column ${column} is text`);
  return String(value);
}

export function textOrNull(row: Row, column: string): string | null {
  return row[column] === null ? null : text(row, column);
}

/** A number, also from BIGINT or DECIMAL; exact up to 2^53. */
export function number(row: Row, column: string): number {
  const value = row[column] ?? Number.NaN;
  const number = Number(value);
  assert(!(value instanceof Date) && !Number.isNaN(number), `column ${column} is a number`);
  return number;
}

export function numberOrNull(row: Row, column: string): number | null {
  return row[column] === null ? null : number(row, column);
}

/** A TINYINT; true: not 0. */
export function flag(row: Row, column: string): boolean {
  return number(row, column) !== 0;
}

/** A DATETIME; service sessions run in UTC. */
export function date(row: Row, column: string): Date {
  const value = row[column];
  assert(value instanceof Date, `column ${column} is a date`);
  return value;
}

export function dateOrNull(row: Row, column: string): Date | null {
  return row[column] === null ? null : date(row, column);
}
