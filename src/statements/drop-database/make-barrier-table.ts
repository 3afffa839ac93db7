/**
 * What has to be so before a DROP DATABASE renames anything: the service is on the session's
 * server, nothing held is in the schema, and our guard is: an empty table, which the DROP will wait
 * for (barrier.ts), and by which the session itself says that it means this very schema.
 */
import { systemClock } from '../../clock.js';
import { UndropError } from '../../errors.js';
import { takeOut } from '../../held/relocate/pending.js';
import { retireAbandonedBarrier } from '../../held/relocate/retire-barrier-table.js';
import { processlistOf } from '../../ledger/owner.js';
import { mayUnlog } from '../../ledger/unlogged.js';
import { BARRIER_TABLE_COMMENT, barrierTableName } from '../../names/barrier-table.js';
import {
  isServerError,
  type ServiceConnection,
  type ServicePool,
} from '../../service/pool/pools.js';
import { textOf, textOrNullOf } from '../../service/row.js';
import type { ServerFacts } from '../../service/server-facts.js';
import { ident, note, serverIdentity, sql } from '../../service/sql.js';
import { isSameServer } from '../../steps/preconditions.js';
import { rootCause } from '../../steps/refusals/root-cause.js';
import type { UserFacts } from '../../steps/request.js';
import type { SessionFacts, UserCommand } from '../../steps/session/user-session.js';
import { turnSql } from '../../steps/session/user-session-sql.js';
import type { Result } from '../../wire/result-reader.js';
import {
  ER_BAD_DB_ERROR,
  ER_LOCK_WAIT_TIMEOUT,
  METADATA_LOCK_GRANTED,
} from '../../wire/server-errors.js';
import { DropDatabaseAborted, notDropped, SchemaGone } from './aborted.js';
import type { Look } from './decide.js';
import { lookIntoSchema } from './drop-behind-barrier.js';
import type { SchemaName } from './sql.js';

export interface SessionThere {
  readonly groupId: string;
  readonly server: ServerFacts;
  readonly session: SessionFacts;
  readonly facts: UserFacts;
}

/** Throws `DropDatabaseAborted` where the service doesn't see the session. */
export async function assertSameServer(
  owner: ServiceConnection,
  where: SessionThere & { readonly schema: string },
): Promise<void> {
  if (await seesSession(owner, where)) return;
  const tables = `Schema ${where.schema} and its tables were`;
  const { threadId } = where.session;
  throw new DropDatabaseAborted(new UndropError('UNDROP_SESSION_NOT_FOUND', { tables, threadId }));
}

/** Whether the service is on the session's server. */
async function seesSession(
  owner: ServiceConnection,
  { groupId, server, session, facts }: SessionThere,
): Promise<boolean> {
  const { threadId } = session;
  const [rows = []] = await owner.run(
    sql`SELECT ${note('owner', groupId)} ${serverIdentity(server)} AS identity,
        (SELECT HOST FROM ${processlistOf(server)} WHERE ID = ${threadId}) AS host`,
  );
  const row = rows[0] ?? {};
  const seen = {
    sessionHost: textOrNullOf(row, 'host'),
    serverIdentity: textOf(row, 'identity'),
  };
  return isSameServer({ session }, seen, facts);
}

/** What another's drop has under its hold name there is mostly away a moment later. */
const LOOKS_MAX = 20;
const LOOK_PAUSE_MS = 50;

/** What is in it, once `assertAlone` has nothing against that. */
export async function lookAlone(
  pool: ServicePool,
  owner: ServiceConnection,
  { schema, groupId }: { readonly schema: string; readonly groupId: string },
): Promise<Look> {
  for (let looks = 1; ; looks++) {
    const look = await lookIntoSchema(owner, schema, groupId);
    if (look.held.length > 0) await takeOut(pool, schema);
    if (look.held.length === 0 || looks === LOOKS_MAX) {
      await assertAlone(pool, look, schema);
      return look;
    }
    await systemClock.sleep(LOOK_PAUSE_MS);
  }
}

/**
 * Throws `DropDatabaseAborted` where it holds tables of an earlier drop, which would go with it, or
 * where another DROP of it is under way. What a drop that is over has left there is taken away.
 */
export async function assertAlone(
  pool: ServicePool,
  { held, guards }: Look,
  schema: string,
): Promise<void> {
  const [table] = held;
  if (table !== undefined) {
    const why = `its table ${table} is held there by an earlier drop`;
    const instead = 'Wait until it is removed, or restore it elsewhere; `undrop list` has it.';
    throw new DropDatabaseAborted(notDropped(schema, why, instead));
  }
  for (const guard of guards) {
    const left = await retireAbandonedBarrier(pool, { schema, guard });
    if (left === 'foreign') {
      const why = `its table ${guard} has a name that is undrop’s, and undrop has not made it`;
      throw new DropDatabaseAborted(
        notDropped(schema, why, 'Drop that table by itself, then the schema.'),
      );
    }
    if (left === 'in-use') {
      const why = 'another session is dropping it, or was';
      throw new DropDatabaseAborted(
        notDropped(schema, why, 'Run the statement again in a moment.'),
      );
    }
  }
}

const MUST_LOG =
  'your session has switched sql_log_bin off, and the service account of undrop may not';
const GIVE_TIER = 'Give that account the tier full, or use a direct connection.';

/**
 * Its name. Throws `DropDatabaseAborted` where it can't be made or held, or the session doesn't see
 * it; `SchemaGone`.
 */
export async function makeBarrierTable(
  pool: ServicePool,
  options: {
    /** As stored. */
    readonly schema: string;
    readonly name: SchemaName;
    readonly owner: ServiceConnection;
    /** sql_log_bin of the session. */
    readonly isLogged: boolean;
    run(commands: readonly UserCommand[]): Promise<readonly Result[]>;
  },
): Promise<string> {
  const { schema, name, owner, isLogged: logged, run } = options;
  const { groupId, charset } = name;
  // Replicas need not have a schema whose drop they don't hear of. Of all others they have the
  // guard too, so that behind a failover recovery can tell whether the DROP has come to them.
  if (!logged && !(await mayUnlog(pool)))
    throw new DropDatabaseAborted(notDropped(schema, MUST_LOG, GIVE_TIER));
  const guard = barrierTableName({ groupId, logged });
  try {
    await pool.run(
      sql`CREATE TABLE ${note('schema-guard', groupId)} ${ident(schema, guard)}
          (id INT NOT NULL PRIMARY KEY) ENGINE=InnoDB
          COMMENT=${BARRIER_TABLE_COMMENT}`,
      { logged },
    );
    await pool.run([
      sql`HANDLER ${ident(schema, guard)} OPEN AS undrop_gate`,
      sql`HANDLER undrop_gate CLOSE`,
    ]);
  } catch (error) {
    if (!isServerError(error)) throw error;
    if (isServerError(error, ER_BAD_DB_ERROR)) throw new SchemaGone();
    const why = `the service account of undrop can’t make a table in it: ${rootCause(error)}`;
    const instead = isServerError(error, ER_LOCK_WAIT_TIMEOUT)
      ? 'Run the statement again when whoever has it locked is done: your own LOCK INSTANCE FOR BACKUP, perhaps.'
      : 'Grant it ALL on the schema, or use a direct connection.';
    throw new DropDatabaseAborted(notDropped(schema, why, instead));
  }
  const table = { schema: name.schema, table: Buffer.from(guard) };
  const [said] = await run([
    { kind: 'query', text: turnSql(table, { groupId, charset, wait: null }) },
  ]);
  if (said?.kind !== 'err' || !METADATA_LOCK_GRANTED.includes(said.errno)) {
    const cause = said?.kind === 'err' ? said.message.toString() : 'it says nothing of it';
    const why = `your session does not see the table that undrop has made in it: ${cause}`;
    throw new DropDatabaseAborted(
      notDropped(schema, why, 'Check that UNDROP_UPSTREAM leads to one server.'),
    );
  }
  await lookAlone(pool, owner, { schema, groupId });
  return guard;
}
