/**
 * The triggers of a table, as the server has them: what made each, in the bytes of its own charset
 * and in UTF-8. Asked with character_set_results=binary, under which nothing is converted.
 */
import { assert } from '../../assert.js';
import type { TriggerFacts } from '../../ledger/detached/triggers.js';
import type { ServicePool } from '../../service/pool/pools.js';
import { numberOf, textOf } from '../../service/row.js';
import { ident, note, sql } from '../../service/sql.js';
import type { KeyedTable } from '../foreign-keys/add-keys.js';

export interface ShownTrigger extends TriggerFacts {
  readonly bytes: Buffer;
  readonly text: string;
}

/** In the order in which they fire. Rejects with the server's error where it can't show one. */
export async function showTriggers(
  pool: ServicePool,
  { id, schema, table }: KeyedTable,
): Promise<readonly ShownTrigger[]> {
  const [named = []] = await pool.run(
    sql`SELECT ${note('look', id)} TRIGGER_NAME AS name, ACTION_TIMING AS timing,
        EVENT_MANIPULATION AS event, ACTION_ORDER AS place, DEFINER AS definer
      FROM information_schema.TRIGGERS
      WHERE EVENT_OBJECT_SCHEMA = ${schema} AND EVENT_OBJECT_TABLE = ${table}
      ORDER BY timing, event, place`,
  );
  if (named.length === 0) return [];
  const names = named.map((row) => textOf(row, 'name'));
  const shows = names.map(
    (name) => sql`SHOW CREATE TRIGGER ${note('look', id)} ${ident(schema, name)}`,
  );
  const answers = await pool.run([...shows, sql`SET character_set_results = binary`, ...shows]);
  return named.map((row, index): ShownTrigger => {
    const [shown = {}] = answers[index] ?? [];
    const [raw = {}] = answers[names.length + 1 + index] ?? [];
    const bytes = raw[STATEMENT];
    assert(Buffer.isBuffer(bytes), 'what is asked for in binary comes as bytes');
    return {
      name: names[index] ?? '',
      event: `${textOf(row, 'timing')} ${textOf(row, 'event')}`,
      order: numberOf(row, 'place'),
      definer: textOf(row, 'definer'),
      sqlMode: textOf(shown, 'sql_mode'),
      characterSetClient: textOf(shown, 'character_set_client'),
      collationConnection: textOf(shown, 'collation_connection'),
      databaseCollation: textOf(shown, 'Database Collation'),
      bytes,
      text: textOf(shown, STATEMENT),
    };
  });
}

const STATEMENT = 'SQL Original Statement';
