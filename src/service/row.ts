/**
 * Reads typed values out of a row. Servers differ in the type they give the same expression (a
 * literal 1 is a BIGINT on MySQL and an INT on MariaDB), so each reader takes what means the same.
 */
import { assert } from '../assert.js';
import type { Row } from './pool/pools.js';

export function textOf(row: Row, column: string): string {
  const value = textOrNullOf(row, column);
  assert(value !== null, `column ${column} is not null`);
  return value;
}

export function textOrNullOf(row: Row, column: string): string | null {
  const value = cell(row, column);
  if (value === null || typeof value === 'string') return value;
  if (Buffer.isBuffer(value)) return value.toString('utf8');
  assert(!(value instanceof Date), `column ${column} is text`);
  return String(value);
}

/** A number, also if it comes as BIGINT or DECIMAL; exact up to 2^53. */
export function numberOf(row: Row, column: string): number {
  const value = numberOrNullOf(row, column);
  assert(value !== null, `column ${column} is not null`);
  return value;
}

export function numberOrNullOf(row: Row, column: string): number | null {
  const value = cell(row, column);
  if (value === null) return null;
  const number = Number(value);
  assert(!(value instanceof Date) && !Number.isNaN(number), `column ${column} is a number`);
  return number;
}

/** A DATETIME; sessions of ours run in UTC. */
export function dateOf(row: Row, column: string): Date {
  const value = dateOrNullOf(row, column);
  assert(value !== null, `column ${column} is not null`);
  return value;
}

export function dateOrNullOf(row: Row, column: string): Date | null {
  const value = cell(row, column);
  assert(value === null || value instanceof Date, `column ${column} is a date`);
  return value;
}

function cell(row: Row, column: string): Row[string] {
  const value = row[column];
  assert(value !== undefined, `the answer has a column ${column}`);
  return value;
}
