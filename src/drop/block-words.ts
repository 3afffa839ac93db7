/**
 * Words of MariaDB's that no harmless statement of its own gives, and the rows that stand beside
 * them: a block outside programs, whose handlers say what DROP TEMPORARY said in other words.
 *
 * Invariant: nothing here can destroy a base table or a view: what a block executes is a DROP
 * TEMPORARY of names that the statement had, SIGNAL, RESIGNAL and GET DIAGNOSTICS.
 */
import { assert } from '../assert.js';
import type { ServerVersion } from '../wire/server-version.js';
import { type Signal, signalInformation, signalSql } from './signal-sql.js';

/** A statement that says 1051, or 4091: a DROP TEMPORARY of what isn't there. */
type DropSql = Uint8Array;

/**
 * Whether the session has such blocks: in ORACLE's mode they are written in another way; a server
 * that is built to find its own mistakes takes a note that is raised for one, and ends.
 */
export function hasBlocks(
  { flavour, isDebug = false }: ServerVersion,
  { sqlMode }: { readonly sqlMode: string },
): boolean {
  return flavour === 'mariadb' && !isDebug && !/\bORACLE\b/i.test(sqlMode);
}

/** `notes` in the place of the one that `dropSql` gives, or before it. */
export function notesSql(
  notes: readonly Signal[],
  { dropSql, isKept }: { readonly dropSql: DropSql; readonly isKept: boolean },
): Buffer {
  const said = notes.map((note) => `RESIGNAL SET ${signalInformation(note)}; `);
  return block([
    'DECLARE CONTINUE HANDLER FOR 1051, 4091 BEGIN ',
    ...said,
    isKept ? 'RESIGNAL; ' : '',
    'END; ',
    dropSql,
  ]);
}

/**
 * Several errors, and behind them what `dropSql` says; the answer is the last. Notes on where in
 * the block they were are kept away.
 */
export function errorsSql(
  errors: readonly Signal[],
  { dropSql, server }: { readonly dropSql: DropSql | null; readonly server: ServerVersion },
): Buffer {
  const off = server.versionId < QUIET_SINCE ? 'sql_notes = 0' : "note_verbosity = ''";
  const quietly = Buffer.from(`SET STATEMENT ${off} FOR `);
  const rows = inTurn(errors);
  if (dropSql === null) return Buffer.concat([quietly, block([rows])]);
  const said = 'MYSQL_ERRNO = said_errno, MESSAGE_TEXT = said_text';
  const text = block([
    'DECLARE said_errno INT; DECLARE said_text TEXT CHARACTER SET utf8; ',
    'DECLARE EXIT HANDLER FOR 1051, 4091 BEGIN ',
    'GET DIAGNOSTICS CONDITION 1 said_errno = MYSQL_ERRNO, said_text = MESSAGE_TEXT; ',
    `${behind(rows, `RESIGNAL SQLSTATE '42S02' SET ${said}`)}; END; `,
    dropSql,
  ]);
  return Buffer.concat([quietly, text]);
}

/** From here on sql_notes is said to be out of date wherever it is set. */
const QUIET_SINCE = 110_300;

function inTurn([first, ...more]: readonly Signal[]): string {
  assert(first !== undefined, 'there is an error to be raised');
  return more.reduce(
    (before, { sqlState, ...signal }) =>
      behind(before, `RESIGNAL SQLSTATE '${sqlState}' SET ${signalInformation(signal)}`),
    signalSql(first).toString(),
  );
}

/** Its own row behind those of what is raised before. */
function behind(before: string, resignal: string): string {
  return `BEGIN DECLARE EXIT HANDLER FOR SQLEXCEPTION ${resignal}; ${before}; END`;
}

function block(parts: readonly (string | Uint8Array)[]): Buffer {
  const texts = parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : part));
  return Buffer.concat([Buffer.from('BEGIN NOT ATOMIC '), ...texts, Buffer.from('; END')]);
}
