/**
 * A view as the server has it, in the bytes of its own charset, and how it is made of them again:
 * under the same charsets, which the server keeps with it. sql_mode is none of a view's.
 */
import { assert } from '../assert.js';
import { UndropError } from '../errors.js';
import { named } from '../ledger/intent-text.js';
import type { ViewDefinition } from '../ledger/views.js';
import { runOrKill } from '../service/kill-after.js';
import { isServerError, type ServicePool } from '../service/pools.js';
import { textOf } from '../service/row.js';
import { ident, note, quoteIdentifier, sql } from '../service/sql.js';
import { ABSENT_TABLE, ER_WRONG_OBJECT } from '../wire/server-errors.js';
import { inCharset } from './create-trigger.js';

export interface ShownView {
  /** As stored by the server. */
  readonly schema: string;
  readonly view: string;
  readonly definition: ViewDefinition;
}

/** The view or its schema is absent; or it is a table. */
const NO_VIEW = [...ABSENT_TABLE, ER_WRONG_OBJECT];

interface ViewName {
  readonly id: string;
  readonly schema: string;
  readonly view: string;
}

/** Its name as stored; null where no view has that name. */
export async function findView(
  pool: ServicePool,
  { id, schema, view }: ViewName,
): Promise<{ readonly schema: string; readonly view: string } | null> {
  const [found = []] = await pool.run(
    sql`SELECT ${note('look', id)} TABLE_SCHEMA AS schemaName, TABLE_NAME AS viewName
        FROM information_schema.TABLES WHERE ${named(schema, view)} AND TABLE_TYPE = 'VIEW'`,
  );
  const [row] = found;
  if (row === undefined) return null;
  return { schema: textOf(row, 'schemaName'), view: textOf(row, 'viewName') };
}

/**
 * Null where no view has that name. Rejects with the server's error where it can't show it, and
 * with UNDROP_BAD_NAME where what it shows isn't understood.
 */
export async function showView(pool: ServicePool, name: ViewName): Promise<ShownView | null> {
  const { id } = name;
  const found = await findView(pool, name);
  if (found === null) return null;
  const { schema, view } = found;
  const show = sql`SHOW CREATE VIEW ${note('look', id)} ${ident(schema, view)}`;
  try {
    const [shown = [], , raw = []] = await pool.run([
      show,
      sql`SET character_set_results = binary`,
      show,
    ]);
    const [facts = {}] = shown;
    const bytes = raw[0]?.[STATEMENT];
    assert(Buffer.isBuffer(bytes), 'what is asked for in binary comes as bytes');
    const characterSetClient = textOf(facts, 'character_set_client');
    const collationConnection = textOf(facts, 'collation_connection');
    for (const word of [characterSetClient, collationConnection]) {
      assert(/^\w+$/.test(word), 'a charset is a word');
    }
    const own = await qualifiedIn(pool, { schema, view }, characterSetClient);
    const at = bytes.indexOf(Buffer.concat([VIEW, own]));
    const behind = bytes.subarray(at + VIEW.length + own.length);
    const isUnderstood = at >= 0 && BEHIND_NAME.some((word) => behind.indexOf(word) === 0);
    if (!isUnderstood) throw new UndropError('UNDROP_BAD_NAME', { name: `${schema}.${view}` });
    const definition = {
      head: bytes.subarray(0, at + VIEW.length).toString('base64'),
      tail: behind.toString('base64'),
      shown: textOf(facts, STATEMENT),
      characterSetClient,
      collationConnection,
    };
    return { schema, view, definition };
  } catch (error) {
    if (isServerError(error, ...NO_VIEW)) return null;
    throw error;
  }
}

const STATEMENT = 'Create View';
const VIEW = Buffer.from(' VIEW ');
/** MySQL 8.0.19 and later show names of columns that were said. */
const BEHIND_NAME = [Buffer.from(' AS '), Buffer.from(' (`')] as const;

/** Rejects with the server's error: 1050 where anything has the name. */
export async function createView(
  pool: ServicePool,
  id: string,
  to: { readonly schema: string; readonly view: string },
  {
    definition,
    logged,
  }: {
    readonly definition: ViewDefinition;
    readonly logged: boolean;
  },
): Promise<void> {
  const { head, tail, characterSetClient, collationConnection } = definition;
  const own = await qualifiedIn(pool, to, characterSetClient);
  const last = Buffer.concat([Buffer.from(head, 'base64'), own, Buffer.from(tail, 'base64')]);
  const modes = sql`SET ${note('view', id)} character_set_client = ${characterSetClient},
    collation_connection = ${collationConnection}`;
  await runOrKill(pool, modes, { logged, last });
}

function qualifiedIn(
  pool: ServicePool,
  { schema, view }: { readonly schema: string; readonly view: string },
  charset: string,
): Promise<Buffer> {
  return inCharset(pool, `${quoteIdentifier(schema)}.${quoteIdentifier(view)}`, charset);
}

/** Whether both make the same view. */
export function isSameView(one: ViewDefinition, other: ViewDefinition): boolean {
  const parts = ['head', 'tail', 'characterSetClient', 'collationConnection'] as const;
  return parts.every((part) => one[part] === other[part]);
}
