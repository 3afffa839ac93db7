/**
 * The collector's lock is a lock of the server under a name that nobody can guess, and a row
 * beside the ledger that says the name and who has it. GET_LOCK takes no privilege, so anybody
 * could take a name that everybody knows; only the service account can write the row.
 *
 * Invariant: the name is new for each leadership. Its lock is taken first, and then the row is
 * changed from what was read, by one statement: of several proxies that try, one gets it. So a
 * session that has the lock of the row leads if the row names it; any other holder is a stranger.
 */
import { processlistOf } from '../../ledger/owner.js';
import { createSchema } from '../../ledger/tables.js';
import { RECYCLE_SCHEMA } from '../../names/recycle-schema.js';
import {
  isServerError,
  type ServiceConnection,
  type ServicePool,
  type TaskConnection,
  unlessRefused,
} from '../../service/pool/pools.js';
import { numberOf, numberOrNullOf, textOf } from '../../service/row.js';
import { readServerFacts, type ServerFacts } from '../../service/server-facts.js';
import { ident, note, type SQLQuery, sql } from '../../service/sql.js';
import { ABSENT_TABLE, ACCESS_DENIED } from '../../wire/server-errors.js';

/**
 * Undrop 0.1 has this one alone. It is taken too, where a session may have two, so that one which
 * runs beside a later undrop waits; and it is waited for where our own account has it.
 */
const OLD_LOCK = 'undrop:collector';
const TABLE = ident(RECYCLE_SCHEMA, 'leader');
const IDENTITY_CHARACTERS_MAX = 190;
/** The server ends a session of ours that has said nothing for so long, and so frees the lock. */
const SILENCE_SECONDS = 20;
const DEADLINE_MS = 10_000;

/** What the row says of a server; null: nothing yet. */
interface LeaderRow {
  readonly nonce: string;
  /** `Holder.words` of the leader. */
  readonly holder: string;
}

/** A connection that has one of the locks. */
interface Holder {
  readonly threadId: number;
  /** Id, user and address: these together don't come back. */
  readonly words: string;
  /** Its lock. */
  readonly name: string;
}

export interface LockState {
  /** The connection of the proxy that collects; null: none does. */
  readonly leader: number | null;
  /** Who has one of the locks and is no proxy of ours; nobody waits for them. */
  readonly strangers: readonly Holder[];
  readonly row: LeaderRow | null;
  /** `words` of this connection. */
  readonly self: string;
}

/** Who collects on this server, and who pretends to. Changes nothing. */
export async function readLockState(
  connection: ServiceConnection,
  server: ServerFacts,
): Promise<LockState> {
  const row = await readRow(connection, server);
  const name = row === null ? '' : nameOf(row.nonce);
  const [[held = {}] = [], people = []] = await connection.run([
    sql`SELECT ${note('lock')} ${row === null ? sql`NULL` : sql`IS_USED_LOCK(${name})`} AS lock_of,
        IS_USED_LOCK(${OLD_LOCK}) AS old_of`,
    sql`SELECT ID AS id, USER AS user, HOST AS host, ID = CONNECTION_ID() AS isSelf
        FROM ${processlistOf(server)} WHERE ID IN (CONNECTION_ID(),
          ${row === null ? sql`0` : sql`IS_USED_LOCK(${name})`}, IS_USED_LOCK(${OLD_LOCK}))`,
  ]);
  const users = new Map(people.map((one) => [numberOf(one, 'id'), textOf(one, 'user')]));
  const words = new Map(
    people.map((one) => [
      numberOf(one, 'id'),
      `${numberOf(one, 'id')} ${textOf(one, 'user')}@${textOf(one, 'host')}`,
    ]),
  );
  const selfId = numberOf(people.find((one) => numberOf(one, 'isSelf') === 1) ?? {}, 'id');
  const holder = (threadId: number | null, lock: string): Holder | null =>
    threadId === null
      ? null
      : { threadId, name: lock, words: words.get(threadId) ?? `${threadId} of an unseen user` };
  const first = holder(numberOrNullOf(held, 'lock_of'), name);
  const old = holder(numberOrNullOf(held, 'old_of'), OLD_LOCK);
  const isLeader = first !== null && first.words === row?.holder;
  const isOldOurs = old !== null && users.get(old.threadId) === users.get(selfId);
  const leader = isLeader ? first.threadId : isOldOurs ? old.threadId : null;
  return {
    leader,
    strangers: [first, old].filter((one): one is Holder => {
      return one !== null && one.threadId !== leader && !(one === old && isOldOurs);
    }),
    row,
    self: words.get(selfId) ?? '',
  };
}

/** Sentences for people: `12 joe@10.0.0.7:4711 has undrop:collector`. None if it may not ask. */
export async function findStrangers(pool: ServicePool): Promise<readonly string[]> {
  const read = async () => (await readLockState(pool, await readServerFacts(pool))).strangers;
  const strangers = await unlessRefused(read(), [], ...ACCESS_DENIED);
  return strangers.map(({ words, name }) => `${words} has ${name}`);
}

/** A lock that a leader has. */
export interface TakenLock {
  /** As SQL: 1 while this very connection, or the one of `threadId`, has it. */
  isOurs(threadId?: number): SQLQuery;
  /**
   * The same, and the row says so still. Fails with 1146 or 1049 if the row is lost with its table.
   */
  readonly isLed: SQLQuery;
  release(): Promise<void>;
}

/** `seen`: just now. Null if somebody was faster. `nonce`: 32 hex digits that nobody knows. */
export async function takeLock(
  connection: TaskConnection,
  server: ServerFacts,
  { seen, nonce }: { readonly seen: LockState; readonly nonce: string },
): Promise<TakenLock | null> {
  const name = nameOf(nonce);
  const isOurs = (threadId?: number) =>
    sql`IS_USED_LOCK(${name}) = ${threadId === undefined ? sql`CONNECTION_ID()` : sql`${threadId}`}`;
  // Its session settings are not the pool's.
  connection.discard();
  await connection.run(takingText(name, isOurs(), server), { deadlineMs: DEADLINE_MS });
  const release = async () => {
    await connection.run(sql`${note('lock')} DO RELEASE_LOCK(${name})`, {
      deadlineMs: DEADLINE_MS,
    });
  };
  if (!(await claim(connection, server, { seen, nonce }))) {
    await release();
    return null;
  }
  const isLed = sql`${isOurs()} AND EXISTS (SELECT 1 FROM ${TABLE}
    WHERE server_identity = ${identityOf(server)} AND nonce = ${nonce})`;
  return { isOurs, isLed, release };
}

/**
 * One text, so that there is no moment with the lock but without the timeouts, wherever this
 * process may be stopped. MySQL before 5.7.5 has one lock for each session.
 */
function takingText(name: string, isOurs: SQLQuery, server: ServerFacts): readonly SQLQuery[] {
  const hasSeveral = server.flavour === 'mariadb' || server.versionId >= 50_705;
  const ifOurs = (otherwise: SQLQuery) =>
    sql`CAST(IF(${isOurs}, ${SILENCE_SECONDS}, ${otherwise}) AS UNSIGNED)`;
  return [
    sql`${note('lock')} SELECT GET_LOCK(${name}, 0) AS got`,
    sql`SET SESSION wait_timeout = ${ifOurs(sql`@@session.wait_timeout`)},
      SESSION net_read_timeout = ${ifOurs(sql`@@session.net_read_timeout`)},
      SESSION net_write_timeout = ${ifOurs(sql`@@session.net_write_timeout`)}`,
    ...(hasSeveral ? [sql`SELECT GET_LOCK(${OLD_LOCK}, 0) AS got`] : []),
  ];
}

/** Creates the table if it is missing. */
async function claim(
  connection: ServiceConnection,
  server: ServerFacts,
  { seen, nonce }: { readonly seen: LockState; readonly nonce: string },
): Promise<boolean> {
  const { row, self } = seen;
  const change =
    row === null
      ? sql`INSERT IGNORE ${note('lock')} INTO ${TABLE} (server_identity, nonce, holder, since)
          VALUES (${identityOf(server)}, ${nonce}, ${self}, UTC_TIMESTAMP())`
      : sql`UPDATE ${note('lock')} ${TABLE}
          SET nonce = ${nonce}, holder = ${self}, since = UTC_TIMESTAMP()
          WHERE server_identity = ${identityOf(server)} AND nonce = ${row.nonce}`;
  try {
    const [changed] = await connection.run(change);
    return changed?.affectedRows === 1;
  } catch (error) {
    if (!isServerError(error, ...ABSENT_TABLE)) throw error;
    await createSchema(connection, RECYCLE_SCHEMA);
    const [, changed] = await connection.run([CREATION, change]);
    return changed?.affectedRows === 1;
  }
}

const CREATION = sql`CREATE TABLE IF NOT EXISTS ${TABLE} (
  server_identity VARCHAR(190) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL PRIMARY KEY,
  nonce CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  holder VARCHAR(512) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  since DATETIME NOT NULL
) ENGINE=InnoDB`;

async function readRow(
  connection: ServiceConnection,
  server: ServerFacts,
): Promise<LeaderRow | null> {
  const query = sql`SELECT ${note('lock')} nonce, holder FROM ${TABLE}
    WHERE server_identity = ${identityOf(server)}`;
  const [[row] = []] = await unlessRefused(connection.run(query), [], ...ABSENT_TABLE);
  if (row === undefined) return null;
  return { nonce: textOf(row, 'nonce'), holder: textOf(row, 'holder') };
}

function nameOf(nonce: string): string {
  return `${OLD_LOCK}:${nonce}`;
}

function identityOf({ serverIdentity }: ServerFacts): string {
  return serverIdentity.slice(0, IDENTITY_CHARACTERS_MAX);
}
