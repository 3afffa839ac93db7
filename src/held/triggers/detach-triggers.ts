/**
 * Takes the triggers off a held table: their names are free again, as after a native drop, no row
 * that is purged fires them, and the table may leave its schema, which the server refuses with
 * triggers on it (1435).
 *
 * Invariants: a trigger is dropped only if this account has shown that it may make it again as it
 * is, and if it is in the ledger. Only a trigger of the held table is dropped: names are those of
 * the schema, and somebody else's trigger may have that name a moment later.
 */
import { InvariantError } from '../../assert.js';
import { UndropError } from '../../errors.js';
import type { HeldTrigger } from '../../ledger/detached/triggers.js';
import type { Failure } from '../../ledger/entry.js';
import { mayUnlog } from '../../ledger/tables.js';
import { isServerError, type ServicePool } from '../../service/pool/pools.js';
import { isKilled, runWithTimeout, type TryOptions } from '../../service/pool/statement-timeout.js';
import type { ServerFacts } from '../../service/server-facts.js';
import { ident, note, sql } from '../../service/sql.js';
import {
  ER_NOT_SUPPORTED_YET,
  ER_REFERENCED_TRG_DOES_NOT_EXIST,
  ER_SUBQUERY_NO_1_ROW,
  ER_TRG_ALREADY_EXISTS,
  ER_TRG_DOES_NOT_EXIST,
} from '../../wire/server-errors.js';
import type { KeyedTable } from '../foreign-keys/add-keys.js';
import { blockedByTriggers } from '../relocate/blockers.js';
import type { RelocateTable } from '../relocate/relocate.js';
import { createTrigger, type ShownTrigger, showTriggers, statementOf } from './definition.js';

interface ProofOptions extends TryOptions {
  readonly server: Pick<ServerFacts, 'flavour' | 'versionId'>;
}

export interface FoundTriggers {
  /** Those that may be taken off: all, or none. */
  readonly triggers: readonly HeldTrigger[];
  /** Why they are to stay, or null. */
  readonly problem: Failure | null;
}

/** Rejects if the server can't be asked at all. */
export async function findTriggers(
  pool: ServicePool,
  table: RelocateTable,
  how: ProofOptions,
): Promise<FoundTriggers> {
  try {
    const { id, fromSchema: schema, holdName } = table;
    const shown = await showTriggers(pool, { id, schema, table: holdName });
    if (shown.length === 0) return { triggers: [], problem: null };
    const triggers = shown.flatMap((trigger) => withoutName(trigger, holdName) ?? []);
    const moved = shown.find((trigger) => trigger.databaseCollation !== trigger.schemaCollation);
    let problem: string | null;
    if (triggers.length < shown.length) problem = 'what made them is not understood';
    else if (moved !== undefined) {
      problem = `${moved.name}: its schema had another collation when it was made`;
    } else problem = await whyNotAgain(pool, table, triggers, how);
    if (problem === null) return { triggers, problem: null };
    return { triggers: [], problem: blockedByTriggers(problem) };
  } catch (error) {
    if (isKilled(error)) return { triggers: [], problem: LOCKED };
    if (!isServerError(error) && !isBadName(error)) throw error;
    return { triggers: [], problem: blockedByTriggers(error.message) };
  }
}

const LOCKED: Failure = {
  todo: 'detach',
  text: 'its triggers: another session has a table locked',
};

function isBadName(error: unknown): error is UndropError {
  return error instanceof UndropError && error.code === 'UNDROP_BAD_NAME';
}

/**
 * Cuts the hold name out of the text, which the server has written there with the
 * sql_quote_show_create of the session that renamed the table. Null if it isn't found.
 */
function withoutName(
  { bytes, text, schemaCollation: _now, ...trigger }: ShownTrigger,
  name: string,
): HeldTrigger | null {
  const on = new RegExp(`^CREATE .*?DEFINER=.*?\\bON (?:\`${name}\`|"${name}"|${name}\\b)`, 'is');
  const [shown, raw] = [on.exec(text)?.[0], on.exec(bytes.toString('latin1'))?.[0]];
  if (shown === undefined || raw === undefined) return null;
  const [end, bytesEnd] = [shown.length, raw.length];
  const quoted = name.length + (/[`"]$/.test(raw) ? 2 : 0);
  return {
    ...trigger,
    quote: raw.endsWith('"') ? '"' : '`',
    head: bytes.subarray(0, bytesEnd - quoted).toString('base64'),
    tail: bytes.subarray(bytesEnd).toString('base64'),
    shownHead: text.slice(0, end - quoted),
    shownTail: text.slice(end),
  };
}

/** Null if this account may make all of them again as they are. */
async function whyNotAgain(
  pool: ServicePool,
  { id, fromSchema: schema, holdName, table }: RelocateTable,
  triggers: readonly HeldTrigger[],
  how: ProofOptions,
): Promise<string | null> {
  const held = { id, schema, table: holdName };
  for (const trigger of triggers) {
    // Its own name, too, has to be one in the trigger's charset.
    await statementOf(pool, trigger, table);
    const refusal = await refusalOf(pool, held, trigger, how);
    if (refusal !== null) return `${trigger.name}: ${refusal}`;
  }
  for (const definer of new Set(triggers.map((trigger) => trigger.definer))) {
    const refusal = await refusalOfDefiner(pool, held, definer, how);
    if (refusal !== null) return `the definer ${definer}: ${refusal}`;
  }
  return null;
}

/**
 * Creates a trigger once more while it is there: the server says that it exists after it has
 * checked all else, but for the definer on MySQL. If another session has dropped it a moment ago,
 * it is on the held table again.
 */
async function refusalOf(
  pool: ServicePool,
  held: KeyedTable,
  trigger: HeldTrigger,
  how: ProofOptions,
): Promise<string | null> {
  try {
    await createTrigger(pool, held, trigger, how);
    return null;
  } catch (error) {
    if (!isServerError(error) || isKilled(error)) throw error;
    return EXISTS.includes(error.errno) ? null : error.message;
  }
}

/** A trigger of that name; before MySQL 5.7 one for that event, of which there is but one. */
const EXISTS: readonly number[] = [ER_TRG_ALREADY_EXISTS, ER_NOT_SUPPORTED_YET];

/**
 * MySQL checks the right to name a definer before it looks for the trigger that the new one is to
 * follow. No trigger has that name, so none is made.
 */
async function refusalOfDefiner(
  pool: ServicePool,
  { id, schema, table }: KeyedTable,
  definer: string,
  { server, logged, lockWaitBudget }: ProofOptions,
): Promise<string | null> {
  if (server.flavour === 'mariadb') return null;
  // SUPER before MySQL 8, which is what `sql_log_bin` needs there.
  if (server.versionId < 80_000) return (await mayUnlog(pool)) ? null : 'it takes SUPER';
  const at = definer.lastIndexOf('@');
  const [user, host] = [definer.slice(0, at), definer.slice(at + 1)];
  const create = sql`CREATE ${note('trigger', id)} DEFINER = ${user}@${host}
    TRIGGER ${ident(schema, `_undrop_${id}`)} BEFORE INSERT ON ${ident(schema, table)}
    FOR EACH ROW FOLLOWS ${ident(`_undrop_none_${id}`)} SET @undrop = 1`;
  try {
    await runWithTimeout(pool, create, { logged, lockWaitBudget });
  } catch (error) {
    if (!isServerError(error) || isKilled(error)) throw error;
    return error.errno === ER_REFERENCED_TRG_DOES_NOT_EXIST ? null : error.message;
  }
  throw new InvariantError('a trigger was made that follows a missing one');
}

/**
 * Drops the last made first, so that those that are left after an interruption are the first, and
 * the others follow them when they are made again. Null when none is left, else what is in the way.
 */
export async function dropTriggers(
  pool: ServicePool,
  { id, fromSchema: schema, holdName }: RelocateTable,
  triggers: readonly HeldTrigger[],
  { logged, lockWaitBudget }: TryOptions,
): Promise<Failure | null> {
  for (const { name } of triggers.toReversed()) {
    const there = sql`SELECT ${note('trigger', id)} IF(COUNT(*) = 1, 1, (SELECT 1 UNION SELECT 2))
      FROM information_schema.TRIGGERS
      WHERE EVENT_OBJECT_SCHEMA = ${schema} AND EVENT_OBJECT_TABLE = ${holdName}
        AND CAST(TRIGGER_NAME AS BINARY) = CAST(${name} AS BINARY)`;
    const drop = sql`DROP TRIGGER ${note('trigger', id)} ${ident(schema, name)}`;
    try {
      await runWithTimeout(pool, [there, drop], { logged, lockWaitBudget });
    } catch (error) {
      if (isKilled(error)) return LOCKED;
      if (!isServerError(error, ...NOT_THERE)) throw error;
    }
  }
  return null;
}

/** More than one row, with which the SELECT fails if it isn't there; and no such trigger. */
const NOT_THERE = [ER_SUBQUERY_NO_1_ROW, ER_TRG_DOES_NOT_EXIST] as const;
