/**
 * What is asked of the user's session before a DROP DATABASE touches anything: whether it may drop
 * the schema, and how long it waits for locks; and of the service, what the schema is called.
 */
import { UndropError } from '../../errors.js';
import type { ServicePool } from '../../service/pool/pools.js';
import { isRecycleName } from '../../sql/recycle-name.js';
import type { UserFacts } from '../../steps/request.js';
import { signalSql } from '../../steps/session/signal.js';
import type { UserCommand } from '../../steps/session/user-session.js';
import type { Result } from '../../wire/result-reader.js';
import {
  ABSENT_TO_DROP_VIEW,
  DDL_FORBIDDEN,
  ER_BAD_DB_ERROR,
  ER_DBACCESS_DENIED_ERROR,
  ER_LOCK_OR_ACTIVE_TRANSACTION,
  ER_TABLEACCESS_DENIED_ERROR,
  ER_TOO_LONG_IDENT,
  ER_WRONG_DB_NAME,
  GAVE_UP,
  OWN_GLOBAL_LOCK,
} from '../../wire/server-errors.js';
import { DropDatabaseAborted, notDropped, SchemaGone } from './aborted.js';
import { findSchema } from './read-schema.js';
import {
  deniedSignal,
  maySchemaSql,
  readSchemaFacts,
  type SchemaFacts,
  type SchemaName,
  schemaFactsSql,
} from './sql.js';

/** DROP DATABASE would have ended with the same error, word for word. */
const SAME_AS_DROP: readonly number[] = [
  ...DDL_FORBIDDEN,
  ...GAVE_UP,
  ...OWN_GLOBAL_LOCK,
  ER_DBACCESS_DENIED_ERROR,
  ER_TOO_LONG_IDENT,
  ER_WRONG_DB_NAME,
  ER_LOCK_OR_ACTIVE_TRANSACTION,
];

const OF_THE_SERVER: ReadonlySet<string> = new Set([
  'mysql',
  'sys',
  'information_schema',
  'performance_schema',
]);

export interface AskedSchema {
  /** As stored. */
  readonly schema: string;
  readonly facts: SchemaFacts;
}

/** Throws `DropDatabaseAborted` with the answer where it ends here; then nothing was changed. */
export async function askSchema(
  name: SchemaName,
  { name: text, facts }: { readonly name: string; readonly facts: UserFacts },
  { pool }: { readonly pool: ServicePool },
  run: (commands: readonly UserCommand[]) => Promise<readonly Result[]>,
): Promise<AskedSchema> {
  if (isRecycleName(text)) {
    const why = 'undrop keeps dropped tables in it';
    throw new DropDatabaseAborted(notDropped(text, why, 'See `undrop list` for what is held.'));
  }
  if (facts.gtidNext !== null) {
    const instead = "SET SESSION gtid_next = 'AUTOMATIC', then drop.";
    throw new DropDatabaseAborted(notDropped(text, 'the session has set GTID_NEXT', instead));
  }
  const { facts: read, isThere } = await askRight(name, text, run);
  if (!isThere) throw new SchemaGone();
  const schema = await findSchema(pool, text);
  if (schema === null) {
    const tables = `Schema ${text} and its tables were`;
    throw new DropDatabaseAborted(new UndropError('UNDROP_NOT_SEEN', { tables, table: text }));
  }
  // As stored: under lower_case_table_names=0 MYSQL is a user's.
  if (OF_THE_SERVER.has(schema)) {
    const instead = 'Use a direct connection if it has to go.';
    throw new DropDatabaseAborted(notDropped(text, 'it is one of the server itself', instead));
  }
  return { schema, facts: read };
}

/**
 * Throws `DropDatabaseAborted` with the words of DROP DATABASE where the session may not drop it.
 */
export async function askRight(
  name: SchemaName,
  text: string,
  run: (commands: readonly UserCommand[]) => Promise<readonly Result[]>,
): Promise<{ readonly facts: SchemaFacts; readonly isThere: boolean }> {
  const [asked, right] = await run([
    { kind: 'query', text: schemaFactsSql() },
    { kind: 'query', text: maySchemaSql(name) },
  ]);
  if (asked === undefined || right?.kind !== 'err') {
    throw new Error('DROP VIEW of a view that can not be fails');
  }
  const read = readSchemaFacts(asked);
  if ('errno' in read) throw new DropDatabaseAborted(read);
  if (SAME_AS_DROP.includes(right.errno)) throw new DropDatabaseAborted(right);
  if (right.errno === ER_TABLEACCESS_DENIED_ERROR) {
    const signal = signalSql(deniedSignal(text, read.account));
    const [said] = await run([{ kind: 'query', text: signal }]);
    throw new DropDatabaseAborted(said?.kind === 'err' ? said : right);
  }
  if (!ABSENT_TO_DROP_VIEW.includes(right.errno)) {
    const cause = `the right to drop it can’t be asked for: ${right.message.toString()}`;
    throw new DropDatabaseAborted(notDropped(text, cause, 'Use a direct connection.'));
  }
  return { facts: read, isThere: right.errno !== ER_BAD_DB_ERROR };
}
