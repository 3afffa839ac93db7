/**
 * What has to be so before a DROP DATABASE renames anything: nothing held is in the schema, and the
 * barrier table is: an empty table of ours, which the DROP will wait for (barrier.ts), and by which
 * the session itself says that it means this very schema.
 */

import { barrierTableName } from '../../names/names.js';
import { ask } from '../../steps/procedure.js';
import { type Answer, refuse } from '../../steps/refuse.js';
import { turnSql } from '../../steps/session/user-session-sql.js';
import {
  ER_BAD_DB_ERROR,
  ER_LOCK_WAIT_TIMEOUT,
  METADATA_LOCK_GRANTED,
} from '../../wire/server-errors.js';
import {
  call,
  type Gone,
  notDropped,
  type SchemaDropRequest,
  type SchemaSteps,
} from './effects.js';

/**
 * The tables that are to be held. An answer: the schema has tables of an earlier drop, which would
 * go with it, or the barrier table of another DROP DATABASE, which is under way or was interrupted.
 */
export function* findAlone(schema: string): SchemaSteps<readonly string[] | Answer> {
  const { tables, held, barriers } = yield* call('find', schema);
  const [table] = held;
  if (table !== undefined) {
    const why = `its table ${table} is held there by an earlier drop`;
    const instead = 'Wait until it is removed, or restore it elsewhere; `undrop list` has it.';
    return refuse(notDropped(schema, why, instead));
  }
  const [barrier] = barriers;
  if (barrier === undefined) return tables;
  const why = `another session is dropping it, or was: it has a table ${barrier}`;
  const instead =
    'Run the statement again in a moment. If that table stays, drop it by itself, then the schema.';
  return refuse(notDropped(schema, why, instead));
}

const WAIT_FOR_LOCK =
  'Run the statement again when whoever has it locked is done: your own LOCK INSTANCE FOR BACKUP, perhaps.';
const GRANT_ALL =
  'Grant it ALL on the schema (and where your session has switched sql_log_bin off the tier full), or use a direct connection.';

/** Its name; an answer: it can't be made, or the session doesn't see it. */
export function* makeBarrierTable(
  schema: string,
  { facts: { logged }, groupId, charset, schema: bytes }: SchemaDropRequest,
): SchemaSteps<string | Answer | Gone> {
  // Replicas need not have a schema whose drop they don't hear of. All others have the table too,
  // so that after a failover recovery can tell whether the DROP has come to them.
  const table = barrierTableName({ groupId, logged });
  const failed = yield* call('makeTable', schema, table);
  if (failed?.errno === ER_BAD_DB_ERROR) return { kind: 'gone' };
  if (failed !== null) {
    const why = `the service account of undrop can’t make a table in it: ${failed.cause}`;
    const isLocked = failed.errno === ER_LOCK_WAIT_TIMEOUT;
    return refuse(notDropped(schema, why, isLocked ? WAIT_FOR_LOCK : GRANT_ALL));
  }
  const name = { schema: bytes, table: Buffer.from(table) };
  const [said] = yield* ask(turnSql(name, { groupId, charset, wait: null }));
  if (said?.kind !== 'err' || !METADATA_LOCK_GRANTED.includes(said.errno)) {
    const cause = said?.kind === 'err' ? said.message.toString() : 'it says nothing of it';
    const why = `your session does not see the table that undrop has made in it: ${cause}`;
    return refuse(notDropped(schema, why, 'Check that UNDROP_UPSTREAM leads to one server.'));
  }
  // Of two drops at once each sees the other's table.
  const found = yield* findAlone(schema);
  return 'kind' in found ? found : table;
}
