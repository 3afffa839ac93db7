/**
 * What is asked of the user's session before a DROP DATABASE touches anything: whether it may drop
 * the schema, and how long it waits for locks; and of the service, what the schema is called.
 */
import { UndropError } from '../errors.js';
import type { ServicePool } from '../service/pools.js';
import { isRecycleName } from '../sql/recycle-name.js';
import type { Result } from '../wire/result-reader.js';
import { Halt, notDropped, SchemaGone } from './halt.js';
import type { UserFacts } from './request.js';
import { findSchema } from './schema-look.js';
import {
  deniedSignal,
  maySchemaSql,
  readSchemaFacts,
  type SchemaFacts,
  type SchemaName,
  schemaFactsSql,
} from './schema-words.js';
import { signalSql } from './signal-sql.js';
import type { UserCommand } from './user-session.js';

const UNKNOWN_SCHEMA = 1049;
/** No such view; MariaDB has one error for that and for a table. */
const MAY_DROP: ReadonlySet<number> = new Set([UNKNOWN_SCHEMA, 1051, 4092]);
/** What DROP DATABASE would have said as well, word for word. */
const SAME_AS_DROP: ReadonlySet<number> = new Set([
  1044, 1059, 1102, 1192, 1205, 1213, 1223, 1290, 1317, 1399, 1568, 1792, 1820, 1836, 1969, 3024,
  4145,
]);
const DENIED = 1142;

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

/** Throws `Halt` with the answer where it ends here; then nothing was changed. */
export async function askSchema(
  name: SchemaName,
  { name: text, facts }: { readonly name: string; readonly facts: UserFacts },
  { pool }: { readonly pool: ServicePool },
  run: (commands: readonly UserCommand[]) => Promise<readonly Result[]>,
): Promise<AskedSchema> {
  if (isRecycleName(text)) {
    const why = 'undrop keeps dropped tables in it';
    throw new Halt(notDropped(text, why, 'See `undrop list` for what is held.'));
  }
  if (facts.gtidNext !== null) {
    const instead = "SET SESSION gtid_next = 'AUTOMATIC', then drop.";
    throw new Halt(notDropped(text, 'the session has set GTID_NEXT', instead));
  }
  const { facts: read, isThere } = await askRight(name, text, run);
  if (!isThere) throw new SchemaGone();
  const schema = await findSchema(pool, text);
  if (schema === null) {
    const tables = `Schema ${text} and its tables were`;
    throw new Halt(new UndropError('UNDROP_NOT_SEEN', { tables, table: text }));
  }
  // As stored: under lower_case_table_names=0 MYSQL is a user's.
  if (OF_THE_SERVER.has(schema)) {
    const instead = 'Use a direct connection if it has to go.';
    throw new Halt(notDropped(text, 'it is one of the server itself', instead));
  }
  return { schema, facts: read };
}

/** Throws `Halt` with the words of DROP DATABASE where the session may not drop it. */
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
  if ('errno' in read) throw new Halt(read);
  if (SAME_AS_DROP.has(right.errno)) throw new Halt(right);
  if (right.errno === DENIED) {
    const signal = signalSql(deniedSignal(text, read.account));
    const [said] = await run([{ kind: 'query', text: signal }]);
    throw new Halt(said?.kind === 'err' ? said : right);
  }
  if (!MAY_DROP.has(right.errno)) {
    const cause = `the right to drop it can’t be asked for: ${right.message.toString()}`;
    throw new Halt(notDropped(text, cause, 'Use a direct connection.'));
  }
  return { facts: read, isThere: right.errno !== UNKNOWN_SCHEMA };
}
