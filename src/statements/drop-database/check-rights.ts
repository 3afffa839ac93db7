/**
 * The checks before a DROP DATABASE touches anything: in the user's session, whether there is such
 * a schema, whether the user may drop it, and its lock wait timeout; by the service, the stored
 * name of the schema. If there is none, the session raises the error of DROP DATABASE for that by
 * SIGNAL, with IF EXISTS as a warning, which becomes a note on its way to the client
 * (after-drop-database.ts).
 *
 * Invariant: no DROP DATABASE is sent here. A schema that another session creates meanwhile stays.
 */
import { assert } from '../../assert.js';
import { UndropError } from '../../errors.js';
import { SERVER_SCHEMAS } from '../../names/names.js';
import { isRecycleName } from '../../sql/trigger-scan.js';
import { clean, signal } from '../../steps/session/user-session.js';
import { answerWith, ask, refuse, type UserSession } from '../../steps/world.js';
import * as caps from '../../wire/capabilities.js';
import { okWithStatus } from '../../wire/response.js';
import * as ER from '../../wire/server-errors.js';
import {
  deniedSignal,
  ENDING_SQL,
  type Gone,
  maySchemaSql,
  notDropped,
  readSchemaFacts,
  type SchemaAnswer,
  type SchemaDropRequest,
  type SchemaFacts,
  schemaFactsSql,
  showSchemaSql,
  tablesOfSchema,
} from './schema-drop.js';
import type { SchemaPort } from './schema-port.js';

/** DROP DATABASE would have ended with the same error, word for word. */
const SAME_AS_DROP_DATABASE: readonly number[] = [
  ...ER.DDL_FORBIDDEN,
  ...ER.GAVE_UP,
  ...ER.OWN_GLOBAL_LOCK,
  ER.DBACCESS_DENIED_ERROR,
  ER.TOO_LONG_IDENT,
  ER.WRONG_DB_NAME,
  ER.LOCK_OR_ACTIVE_TRANSACTION,
];

/** No session can drop it, or have a transaction ended by a statement that names it. */
const CLOSED_SCHEMA = 'information_schema';

export interface There {
  readonly kind: 'there';
  /** The name as the server stores it. */
  readonly schema: string;
  readonly lockWaitS: number;
}

/** An answer: the statement ends here, and nothing was changed. */
export async function checkRights(
  session: UserSession,
  port: Pick<SchemaPort, 'findSchema'>,
  request: SchemaDropRequest,
): Promise<There | SchemaAnswer | Gone> {
  const { name } = request;
  const [asked, shown] = await ask(session, schemaFactsSql(), showSchemaSql(request));
  const facts = readSchemaFacts(asked);
  if ('errno' in facts) return answerWith(facts);
  const isAbsent = shown?.kind === 'err' && shown.errno === ER.BAD_DB_ERROR;
  const refusal = isAbsent ? null : refusalOf(request);
  if (refusal !== null) return refuse(refusal);
  if (name === CLOSED_SCHEMA) await ask(session, ENDING_SQL);
  const [right] = await ask(session, maySchemaSql(request));
  assert(right?.kind === 'err', 'DROP VIEW of a view that can not exist fails');
  if (SAME_AS_DROP_DATABASE.includes(right.errno)) return answerWith(right);
  if (right.errno === ER.TABLEACCESS_DENIED_ERROR) {
    return answerWith(await signal(session, deniedSignal(name, facts.account)));
  }
  if (!ER.ABSENT_TO_DROP_VIEW.includes(right.errno)) {
    const cause = `undrop cannot check the privilege to drop it: ${right.message.toString()}`;
    return refuse(notDropped(name, cause, 'Use a direct connection.'));
  }
  if (isAbsent) return sayAbsent(session, request, facts);
  return right.errno === ER.BAD_DB_ERROR ? { kind: 'gone' } : findSchema(port, request, facts);
}

/** The refusal, whatever the user's privileges are; null: none. */
function refusalOf({ name, facts }: SchemaDropRequest): UndropError | null {
  if (isRecycleName(name)) {
    const instead = 'See `undrop list` for what is held.';
    return notDropped(name, 'undrop keeps dropped tables in it', instead);
  }
  if (facts.gtidNext === null) return null;
  const instead = "SET SESSION gtid_next = 'AUTOMATIC', then drop.";
  return notDropped(name, 'the session has set GTID_NEXT', instead);
}

async function findSchema(
  port: Pick<SchemaPort, 'findSchema'>,
  { name }: SchemaDropRequest,
  { lockWaitS }: SchemaFacts,
): Promise<There | SchemaAnswer> {
  const schema = await port.findSchema(name);
  if (schema === null) {
    return refuse(
      new UndropError('UNDROP_NOT_SEEN', { tables: tablesOfSchema(name), table: name }),
    );
  }
  // The name as stored, because MYSQL is a user's under lower_case_table_names=0.
  if (SERVER_SCHEMAS.includes(schema)) {
    const instead = 'Use a direct connection to drop it.';
    return refuse(notDropped(name, 'it is a schema of the server itself', instead));
  }
  return { kind: 'there', schema, lockWaitS };
}

/** The last statement in the session, so that SHOW WARNINGS is about it. */
async function sayAbsent(
  session: UserSession,
  { name, ifExists, groupId }: SchemaDropRequest,
  { hasNotes }: SchemaFacts,
): Promise<SchemaAnswer> {
  const message = `Can't drop database '${name}'; database doesn't exist`;
  const absent = { errno: ER.DB_DROP_EXISTS, sqlState: ifExists ? '01000' : 'HY000', message };
  const isSilent = ifExists && !hasNotes;
  const said = isSilent ? await clean(session, { groupId }) : await signal(session, absent);
  if (said.kind !== 'ok') return answerWith(said);
  const payload = okWithStatus(said.payload, caps.SERVER_STATUS_DB_DROPPED);
  return { ...answerWith(said), payload };
}
