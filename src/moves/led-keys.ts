/**
 * Foreign keys that undrop itself leads elsewhere for a moment: where the parent of a table is held
 * they follow it to its hold name, and are taken off and added again (detach.ts). Here they are
 * read as what they are for the user all the while, so that nobody takes that for an ALTER TABLE.
 */
import type { ForeignKey } from '../ledger/detached.js';
import { findRows } from '../ledger/read.js';
import { recordOutcome } from '../ledger/write.js';
import { parseHoldName } from '../names/hold-name.js';
import { isSameName } from '../names/same-name.js';
import { Patience } from '../service/patience.js';
import type { ServiceConnection, ServicePool } from '../service/pools.js';
import type { KeyedTable } from './add-keys.js';
import { detach } from './detach.js';
import { lookAtTable } from './look-at-table.js';

/** Of that table: what leads to a held one leads to its own name. */
export async function inOwnNames(
  connection: ServiceConnection,
  { table }: Pick<KeyedTable, 'table'>,
  keys: readonly ForeignKey[],
): Promise<readonly ForeignKey[]> {
  const own: ForeignKey[] = [];
  for (const key of keys) {
    const parent = isSameName(key.parentTable, table) ? null : parseHoldName(key.parentTable);
    const [row] =
      parent === null
        ? []
        : await findRows(connection, { by: 'id', prefix: parent.id }, { texts: false });
    own.push(
      row === undefined ? key : { ...key, parentSchema: row.schema, parentTable: row.table },
    );
  }
  return own;
}

/** Longer ago a key was given back, or is still to be. */
const RECENT_MS = 60_000;

/** `now` with those of `before` that are off it only as their parents are being held. */
export async function withLedKeys(
  connection: ServiceConnection,
  child: { readonly schema: string; readonly table: string; readonly utcNow: Date },
  { now, before }: Readonly<Record<'now' | 'before', readonly ForeignKey[]>>,
): Promise<readonly ForeignKey[]> {
  const missing = before.filter((key) => !now.some(({ name }) => name === key.name));
  const led: ForeignKey[] = [];
  for (const key of missing) {
    const { parentSchema: schema, parentTable: table } = key;
    const rows = await findRows(connection, { by: 'name', schema, table });
    const isLed = rows.some(({ detached, droppedAt }) =>
      detached.keysIn.some(
        (one) =>
          (!one.isDone || child.utcNow.getTime() - droppedAt.getTime() < RECENT_MS) &&
          one.key.name === key.name &&
          isSameName(one.childSchema, child.schema) &&
          isSameName(one.childTable, child.table),
      ),
    );
    if (isLed) led.push(key);
  }
  return [...now, ...led];
}

/**
 * Of a table that got its name a moment ago: while it waited for that, under a hold name, its keys
 * followed their parents, and nobody led them back. What can't be done at once is the parent's
 * debt.
 */
export async function leadKeysBack(
  pool: ServicePool,
  live: KeyedTable,
  { logged }: { readonly logged: boolean },
): Promise<void> {
  const look = await lookAtTable(pool, live);
  const keys = typeof look === 'string' ? [] : (look.keys ?? []);
  const patience = new Patience();
  const parents = new Map(keys.map((key) => [key.parentTable, key.parentSchema]));
  for (const [holdName, holdSchema] of parents) {
    const id = parseHoldName(holdName)?.id;
    if (id === undefined) continue;
    const [row] = await findRows(pool, { by: 'id', prefix: id }, { texts: false });
    if (row === undefined) continue;
    const { table } = row;
    const parent = { id, fromSchema: holdSchema, holdName, table };
    const [failure = null] = await detach(pool, [parent], { logged, patience });
    if (failure === null) continue;
    const debt = { id, holdSchema, holdName, relocated: false, failure };
    await recordOutcome(pool, { tables: [debt], forgotten: [], sqlLogBin: logged });
  }
}
