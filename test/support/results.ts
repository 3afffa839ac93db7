/**
 * Answers of a server, made up: for what decides on answers and must not care where they came from.
 */

import type { RecordedIntent } from '../../src/drop/steps/world.js';
import { UndropError } from '../../src/errors.js';
import type { IntentFacts, IntentTable } from '../../src/ledger/write.js';
import type { Result, ResultReader, RowsResult } from '../../src/wire/response.js';
import { decodeErr, decodeOk, encodeErr } from '../../src/wire/response.js';

/** An OK packet with so many warnings. */
export function okResult(warnings = 0): Extract<Result, { kind: 'ok' }> {
  return decodeOk(Buffer.from([0, 0, 0, 2, 0, warnings, 0]));
}

export function errResult(errno: number, sqlState: string, message: string) {
  return decodeErr(encodeErr({ errno, sqlState, message: Buffer.from(message) }));
}

/** The answer to a PREPARE of a statement without columns and parameters. */
export function preparedResult(statementId: number): Extract<Result, { kind: 'prepared' }> {
  return { kind: 'prepared', statementId, payload: Buffer.alloc(12), definitions: 0 };
}

export function rowsResult(
  columns: readonly string[],
  ...rows: readonly (readonly (string | null)[])[]
): RowsResult {
  const bytes = (text: string | null) => (text === null ? null : Buffer.from(text));
  return {
    kind: 'rows',
    columns: columns.map((name) => Buffer.from(name)),
    rows: rows.map((row) => row.map(bytes)),
    statusFlags: 2,
  };
}

/** The facts of a session in `shop`; `more`: what its kind of server adds. */
export function factsResult(gtidNext = '', ...more: readonly string[]): RowsResult {
  const who = ['the server', 'app@10.0.0.1', '1'];
  const row = ['shop', '', 'utf8mb4', '1', gtidNext, ...who, 'utf8mb4', null, '0', ...more];
  return rowsResult(
    row.map(() => 'c'),
    row,
  );
}

/** What SHOW CREATE TABLE has of a name. */
export function kindResult(kind: 'base' | 'view' | 'temporary', name: string): RowsResult {
  if (kind === 'view') return rowsResult(['View', 'Create View'], [name, 'CREATE VIEW']);
  const temporary = kind === 'temporary' ? 'TEMPORARY ' : '';
  return rowsResult(['Table', 'Create Table'], [name, `CREATE ${temporary}TABLE \`${name}\` ()`]);
}

/** The answer to a SIGNAL of undrop's. */
export function signalled(text: string): Extract<Result, { kind: 'err' }> {
  const [, state = '', errno = '', hex = ''] =
    /^SIGNAL SQLSTATE '(\w+)' SET MYSQL_ERRNO = (\d+), MESSAGE_TEXT = _utf8mb4 X'(\w+)'/.exec(
      text,
    ) ?? [];
  return errResult(Number(errno), state, Buffer.from(hex, 'hex').toString());
}

/** A table of `shop` as the service sees it; nothing hangs on it. */
export function seenTable(own: Partial<IntentTable>): IntentTable {
  const plain = {
    ...{ schema: 'shop', kind: 'base', engine: 'InnoDB', rowEstimate: 3, byteEstimate: 16_384 },
    ...{ holdUntil: new Date('2026-03-08T12:00:00Z'), crash: null, triggers: [] },
    ...{ foreignKeysOut: 0, foreignKeysIn: [], foreignKeysToItself: [] },
  };
  return { ...plain, ...own } as unknown as IntentTable;
}

/** The intent of these tables; `isElsewhere`: the service is on another server. */
export function recordedIntent(
  tables: readonly IntentTable[],
  { isElsewhere = false, ...more }: Partial<IntentFacts> & { readonly isElsewhere?: boolean } = {},
): RecordedIntent {
  const server = { serverIdentity: 'the server', lowerCaseTableNames: 0 } as const;
  const sessionHost = isElsewhere ? null : 'localhost:50001';
  const locks = { lockedTables: null, hasBackupLock: false };
  const utcNow = new Date('2026-03-01T12:00:00Z');
  const intent = { utcNow, sessionHost, ...server, ...locks, tables, ...more };
  return { intent, intentError: null, rulings: [] };
}

/** An intent that could not be recorded. */
export function unrecorded(): RecordedIntent {
  const params = { tables: 'Table t was', cause: 'the ledger is away' };
  const intentError = new UndropError('UNDROP_NOT_RECORDED', params);
  return { intent: null, intentError, rulings: [] };
}

/** A method of a port that a statement does not call. */
export function never(): never {
  throw new Error('the statement has nothing to do with it');
}

/** The result of these packets; the reader has to be done with the last and no earlier. */
export function readWhole(reader: ResultReader, packets: readonly Buffer[]): Result {
  reader.next();
  for (const packet of packets.slice(0, -1)) expect(reader.next(packet).done).toBe(false);
  const { done, value } = reader.next(packets.at(-1) ?? Buffer.alloc(0));
  if (done !== true) throw new Error('the reader wants more than there is');
  return value;
}

/** A payload that goes to a client, in words. */
export function describePayload(payload: Buffer): string {
  if (payload[0] !== 0xff) {
    const { affectedRows, warnings } = decodeOk(payload);
    return `OK, ${affectedRows} rows, ${warnings} warnings`;
  }
  const { errno, sqlState, message } = decodeErr(payload);
  return `ERROR ${errno} (${sqlState}): ${message.toString()}`;
}
