/**
 * What speaks against a drop whose grammar is clear: a name that is that of a file, a second parser
 * that reads another list.
 */
import { crossCheck } from '../../sql/cross-check.js';
import type { DropTableStatement } from '../../sql/grammar/drop-table.js';
import type { ServerVersion } from '../../wire/connection/handshake-v10.js';

/**
 * Why a DROP TABLE isn't run although its grammar is clear; null: nothing speaks against it.
 * `text`: that of the statement alone; null for a second parser to be left out.
 */
export function objectionTo(
  statement: DropTableStatement,
  server: ServerVersion,
  text: Uint8Array | null = null,
): string | null {
  const names = statement.names.flatMap(({ schema, table }) => [schema, table]);
  if (hasFileNames(server) && names.some(isFileName)) {
    return `${FILE_NAME_PREFIX} names a table by its file`;
  }
  return text === null ? null : crossCheck(statement, text);
}

/**
 * What follows is no name but that of a file: `#mysql50#a` is the table a without its locks. Not
 * even SHOW CREATE may use such a name: on MySQL 5.6 the schema can't be dropped any more then.
 */
export const FILE_NAME_PREFIX = '#mysql50#';
/** From here on MySQL finds its tables in a dictionary: there it is a name like any other. */
const FILE_NAMES_UNTIL = 80_000;

/** Whether a name that begins so is that of a file. */
export function hasFileNames({ flavour, versionId }: ServerVersion): boolean {
  return flavour === 'mariadb' || versionId < FILE_NAMES_UNTIL;
}

export function isFileName(name: Uint8Array | null): boolean {
  return (
    name !== null && Buffer.from(name).toString('latin1').toLowerCase().startsWith(FILE_NAME_PREFIX)
  );
}
