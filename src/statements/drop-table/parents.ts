/**
 * Parents that the server would not drop, because tables outside the statement refer to them, and
 * its error for that. Pure. The error is raised by SIGNAL, never by a DROP that names the parent,
 * because its last child may be gone by then.
 */

import type { ForeignKeyName, IntentTable } from '../../ledger/write.js';
import { parseHoldName } from '../../names/hold-name.js';
import { foldName } from '../../names/names.js';
import type { Signal } from '../../steps/session/signal.js';
import type { ServerVersion } from '../../wire/connection/handshake-v10.js';
import {
  ER_FK_CANNOT_DROP_PARENT,
  ER_ROW_IS_REFERENCED,
  ER_ROW_IS_REFERENCED_2,
} from '../../wire/server-errors.js';

export interface BlockedParent {
  readonly table: IntentTable;
  /** The first that is in the way. */
  readonly key: ForeignKeyName;
}

export interface DropRules {
  /** MySQL 8 and later: all or nothing, wherever in the statement the children stand. */
  readonly isAtomic: boolean;
  /** Names that differ in case are one. */
  readonly foldsCase: boolean;
  /** It goes with all that is in it, also with what the statement's list has not; default: none. */
  readonly schema?: string;
}

/** Servers that aren't atomic drop one table after the other: children have to come first. */
export function blockedParents(
  tables: readonly IntentTable[],
  { isAtomic, foldsCase, schema: whole }: DropRules,
): readonly BlockedParent[] {
  const fold = (name: string) => (foldsCase ? foldName(name) : name);
  const keyOf = ({ schema, table }: { readonly schema: string; readonly table: string }) =>
    fold(`${schema}\0${table}`);
  const isWithin = ({ schema }: { readonly schema: string }) =>
    whole !== undefined && fold(schema) === fold(whole);
  const gone = new Set(isAtomic ? tables.map(keyOf) : []);
  const blocked: BlockedParent[] = [];
  for (const table of tables) {
    // A held child is one that was dropped before, and is about to lose its key.
    const key = table.foreignKeysIn.find(
      (child) => !gone.has(keyOf(child)) && !isWithin(child) && parseHoldName(child.table) === null,
    );
    if (key === undefined) gone.add(keyOf(table));
    else blocked.push({ table, key });
  }
  return blocked;
}

/** Whether something is to be taken off before it is moved away. */
export function hasForeignKeys(table: IntentTable): boolean {
  const { foreignKeysIn, foreignKeysOut, foreignKeysToItself } = table;
  return foreignKeysIn.length + foreignKeysOut + foreignKeysToItself.length > 0;
}

const BEFORE_MYSQL_8 = 'Cannot delete or update a parent row: a foreign key constraint fails';
/** The error that the server gives for a parent. */
export function parentError(server: ServerVersion, { table, key }: BlockedParent): Signal {
  if (server.flavour === 'mariadb') {
    return { errno: ER_ROW_IS_REFERENCED_2, sqlState: '23000', message: BEFORE_MYSQL_8 };
  }
  if (server.versionId < 80_000) {
    return { errno: ER_ROW_IS_REFERENCED, sqlState: '23000', message: BEFORE_MYSQL_8 };
  }
  const message =
    `Cannot drop table '${table.table}' referenced by a foreign key constraint ` +
    `'${key.name}' on table '${key.table}'.`;
  return { errno: ER_FK_CANNOT_DROP_PARENT, sqlState: 'HY000', message };
}
