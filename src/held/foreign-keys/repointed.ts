/**
 * Reads foreign keys as if undrop had never moved them. If the parent of a table is held, a foreign
 * key follows it to its hold name and is dropped and added again (detach.ts); without this, a
 * comparison of the table would take that for an ALTER TABLE of the user.
 */
import type { ForeignKey } from '../../ledger/detached/detached.js';
import { findRows } from '../../ledger/read.js';
import { recordState } from '../../ledger/write.js';
import { parseHoldName } from '../../names/hold-name.js';
import { isSameName } from '../../names/names.js';
import type { ServiceConnection, ServicePool } from '../../service/pool/pools.js';
import { LockWaitBudget } from '../../service/pool/statement-timeout.js';
import type { KeyedTable } from './add-keys.js';
import { detach } from './detach.js';
import { readTable } from './read-table.js';
import { toOriginalParent } from './repoint.js';

/** Of that table: what leads to a held one leads to its own name. */
export async function withOriginalNames(
  connection: ServiceConnection,
  { table }: Pick<KeyedTable, 'table'>,
  keys: readonly ForeignKey[],
): Promise<readonly ForeignKey[]> {
  const own: ForeignKey[] = [];
  for (const key of keys) {
    own.push(isSameName(key.parentTable, table) ? key : await toOriginalParent(connection, key));
  }
  return own;
}

/** Longer ago a key was given back, or is still to be. */
const RECENT_MS = 60_000;

/**
 * `now` with those of `before` that are off it only as their parents are being held. `child`: as it
 * was named before; it is `held` by now.
 */
export async function withRepointedKeys(
  connection: ServiceConnection,
  child: { readonly schema: string; readonly table: string; readonly utcNow: Date },
  {
    held,
    now,
    before,
  }: { readonly held: string } & Readonly<Record<'now' | 'before', readonly ForeignKey[]>>,
): Promise<readonly ForeignKey[]> {
  const isSame = (one: ForeignKey, other: ForeignKey) => {
    return nameApart(one.name, child.table) === nameApart(other.name, child.table);
  };
  const missing = before.filter((key) => !now.some((one) => isSame(one, key)));
  const led: ForeignKey[] = [];
  for (const key of missing) {
    const { parentSchema: schema, parentTable: table } = key;
    const rows = await findRows(connection, { by: 'name', schema, table });
    const isLed = rows.some(({ detached, droppedAt }) =>
      detached.keysIn.some(
        (one) =>
          (!one.isDone || child.utcNow.getTime() - droppedAt.getTime() < RECENT_MS) &&
          isSame(one.key, key) &&
          isSameName(one.childSchema, child.schema) &&
          isSameName(one.childTable, child.table),
      ),
    );
    const made = nameApart(key.name, child.table);
    const name = made.startsWith(MADE) ? `${held}${made}` : key.name;
    if (isLed) led.push({ ...key, name });
  }
  return [...now, ...led];
}

/** In names that the server makes, behind that of the table. */
const MADE = '_ibfk_';

/** Without the table's name where the server has made it of that: it makes it anew in a RENAME. */
function nameApart(name: string, table: string): string {
  const at = name.toLowerCase().lastIndexOf(MADE);
  const prefix = name.slice(0, Math.max(at, 0));
  const isMade = at > 0 && (isSameName(prefix, table) || parseHoldName(prefix) !== null);
  return isMade ? name.slice(at).toLowerCase() : name;
}

/**
 * Of a table that got its name a moment ago: while it waited for that, under a hold name, its keys
 * followed their parents, and nobody led them back. What can't be done at once is the parent's
 * debt, once its own drop is over: until then its row is another's.
 */
export async function repointForeignKeys(pool: ServicePool, live: KeyedTable): Promise<void> {
  const look = await readTable(pool, live);
  const keys = typeof look === 'string' ? [] : (look.keys ?? []);
  const lockWaitBudget = new LockWaitBudget();
  const parents = new Map(keys.map((key) => [key.parentTable, key.parentSchema]));
  for (const [holdName, holdSchema] of parents) {
    const id = parseHoldName(holdName)?.id;
    if (id === undefined) continue;
    const [row] = await findRows(pool, { by: 'id', prefix: id }, { texts: false });
    if (row === undefined) continue;
    const { table, sqlLogBin: logged, rowLogged } = row;
    const parent = { id, fromSchema: holdSchema, holdName, table };
    const [failure = null] = await detach(pool, [parent], { logged, lockWaitBudget });
    if (failure === null) continue;
    const debt = { id, state: 'HOLD', relocated: false, failure, rowLogged } as const;
    await recordState(pool, { ...debt, onlyFrom: 'HOLD' });
  }
}
