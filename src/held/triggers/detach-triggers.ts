/**
 * Detaches the triggers of a held table: their names are free again, as after a native drop, no
 * purged row fires them, and the table may leave its schema, which the server refuses with triggers
 * on it (1435). That needs no privilege to create them again: the ledger has the statements, and
 * another account may run them (missing.ts).
 *
 * Invariants: a trigger is dropped only if its whole definition is in the ledger. Only a trigger of
 * the held table is dropped: names are those of the schema, and another table's trigger may have
 * that name a moment later.
 */

import { isKilled, isServerError } from '../../connections/errors.js';
import { runWithTimeout, type TryOptions } from '../../connections/pool/statement-timeout.js';
import type { ServicePool } from '../../connections/sql.js';
import { col, ident, note, readServerFacts, sql } from '../../connections/sql.js';
import { UndropError } from '../../errors.js';
import type { HeldTrigger } from '../../ledger/detached/detached.js';
import type { PendingWork } from '../../ledger/entry.js';
import { isMysql8, type ServerVersion } from '../../wire/connection/handshake-v10.js';
import * as ER from '../../wire/server-errors.js';
import type { KeyedTable } from '../foreign-keys/add-keys.js';
import type { RelocateTable, TriggerRights } from '../relocate/blockers.js';
import { blockedByTriggers, TRIGGERS_STAY } from '../relocate/blockers.js';
import { type ShownTrigger, setModes, showTriggers, statementOf } from './definition.js';

export interface FoundTriggers {
  /** The triggers that may be detached: all, or none. */
  readonly triggers: readonly HeldTrigger[];
  /** Why they must stay, or null. */
  readonly problem: PendingWork | null;
}

/** Rejects if the server can't be reached. */
export async function findTriggers(
  pool: ServicePool,
  table: RelocateTable,
  server: ServerVersion,
): Promise<FoundTriggers> {
  try {
    const { id, fromSchema: schema, holdName } = table;
    const shown = await showTriggers(pool, { id, schema, table: holdName });
    if (shown.length === 0) return { triggers: [], problem: null };
    const triggers = shown.flatMap((trigger) => withoutName(trigger, holdName) ?? []);
    const problem = await whyStay(pool, table, { shown, triggers });
    if (problem !== null) return { triggers: [], problem: blockedByTriggers(problem) };
    const { mayDrop } = await readTriggerRights(pool, server);
    return mayDrop ? { triggers, problem: null } : { triggers: [], problem: TRIGGERS_STAY };
  } catch (error) {
    if (isKilled(error)) return { triggers: [], problem: LOCKED };
    if (!isServerError(error) && !isBadName(error)) throw error;
    return { triggers: [], problem: blockedByTriggers(error.message) };
  }
}

const LOCKED: PendingWork = {
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

/** Whether a copy of a live table can get its triggers. Rejects if the server can't be reached. */
export async function mayFollow(pool: ServicePool, table: KeyedTable): Promise<boolean> {
  // The name is searched for in their texts.
  if (!/^[\w$]+$/.test(table.table)) return false;
  const server = await readServerFacts(pool);
  const held = { ...table, fromSchema: table.schema, holdName: table.table };
  const { problem } = await findTriggers(pool, held, server);
  return problem === null && (await readTriggerRights(pool, server)).mayMake;
}

/** Why they must stay; or null. */
async function whyStay(
  pool: ServicePool,
  { id, table }: RelocateTable,
  { shown, triggers }: { shown: readonly ShownTrigger[]; triggers: readonly HeldTrigger[] },
): Promise<string | null> {
  if (triggers.length < shown.length) return 'undrop cannot parse their definitions';
  const moved = shown.find((trigger) => trigger.databaseCollation !== trigger.schemaCollation);
  if (moved !== undefined) {
    return `${moved.name}: its schema had another collation when it was created`;
  }
  // The table's name must be valid in the charset of each, too; a mode may be obsolete.
  for (const trigger of triggers) await statementOf(pool, trigger, table);
  await pool.run(triggers.map((trigger) => setModes(trigger, id)));
  return null;
}

/**
 * Drops the last first, so that after an interruption the first ones are left, and the others
 * follow them when they are created again. Null when none is left, else the failure.
 */
export async function dropTriggers(
  pool: ServicePool,
  { id, fromSchema: schema, holdName }: RelocateTable,
  { triggers, lockWaitBudget }: TryOptions & { readonly triggers: readonly HeldTrigger[] },
): Promise<PendingWork | null> {
  for (const { name } of triggers.toReversed()) {
    const there = sql`SELECT ${note('trigger', id)} IF(COUNT(*) = 1, 1, (SELECT 1 UNION SELECT 2))
      FROM information_schema.TRIGGERS
      WHERE EVENT_OBJECT_SCHEMA = ${schema} AND EVENT_OBJECT_TABLE = ${holdName}
        AND CAST(TRIGGER_NAME AS BINARY) = CAST(${name} AS BINARY)`;
    const drop = sql`DROP TRIGGER ${note('trigger', id)} ${ident(schema, name)}`;
    try {
      await runWithTimeout(pool, [there, drop], { lockWaitBudget });
    } catch (error) {
      if (isKilled(error)) return LOCKED;
      if (!isServerError(error, ...NOT_THERE)) throw error;
    }
  }
  return null;
}

/** The SELECT returns more than one row if the trigger doesn't exist; and no such trigger. */
const NOT_THERE = [ER.SUBQUERY_NO_1_ROW, ER.TRG_DOES_NOT_EXIST] as const;

// ── the rights of the service account ────────────────────────────────────────────────────────────
// The privileges of the service account on triggers of others, by SHOW GRANTS: to drop one it needs
// TRIGGER on its table; to create it again it needs the privilege to name another definer. With the
// binary log on and log_bin_trust_function_creators off both need SUPER, but for DROP TRIGGER of
// MySQL 8 and later.

/** The lines of SHOW GRANTS for the whole server, with active roles. */
const ON_SERVER = /^GRANT (.+?) ON \*\.\* TO /;
/** SUPER, or on MariaDB the privilege for the binary log. */
const TRUSTED = /\b(?:ALL PRIVILEGES|SUPER|BINLOG ADMIN)\b/;
const DEFINERS = /\b(?:ALL PRIVILEGES|SUPER|SET USER|SET_USER_ID|SET_ANY_DEFINER)\b/;

export async function readTriggerRights(
  pool: ServicePool,
  server: ServerVersion,
): Promise<TriggerRights> {
  const [variables = [], grants = []] = await pool.run([
    sql`SHOW GLOBAL VARIABLES
        WHERE Variable_name IN ('log_bin', 'log_bin_trust_function_creators')`,
    sql`SHOW GRANTS`,
  ]);
  const texts = grants.flatMap((row) => Object.values(row)).map(String);
  const has = (right: RegExp) => texts.some((text) => right.test(ON_SERVER.exec(text)?.[1] ?? ''));
  const isOn = (name: string) =>
    variables.some(
      (row) => col.text(row, 'Variable_name') === name && col.text(row, 'Value') === 'ON',
    );
  const isTrusted = !isOn('log_bin') || isOn('log_bin_trust_function_creators') || has(TRUSTED);
  return { mayDrop: isMysql8(server) || isTrusted, mayMake: isTrusted && has(DEFINERS) };
}
