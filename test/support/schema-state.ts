/**
 * Everything that a schema consists of, to be compared with another that should be equal: how the
 * server would create it, and its rows. And what is held of it.
 */
import type { RowDataPacket } from 'mysql2/promise';
import { heldTables } from './client-held.js';
import { connect, type Session, type TestServer } from './servers.js';

/** A line for each table, view, trigger, routine and event; its own name is `<schema>` in them. */
export async function schemaState(server: TestServer, schema: string): Promise<readonly string[]> {
  await using root = await connect(server, { database: schema, dateStrings: true });
  const lines: string[] = [];
  for (const { kind, name } of await objectsOf(root, schema)) {
    const quoted = `\`${name.replaceAll('`', '``')}\``;
    // MySQL 5.6 shows no view whose table is another one now.
    const shown = root.rows(`SHOW CREATE ${kind} ${quoted}`);
    const [created] = kind === 'VIEW' ? await shown.catch(() => []) : await shown;
    // Only when it was made differs.
    lines.push(JSON.stringify({ ...created, Created: null }));
    if (kind !== 'TABLE') continue;
    const rows = await root.rows(`SELECT * FROM ${quoted} ORDER BY 1`);
    lines.push(`${name}: ${JSON.stringify(rows)}`);
  }
  return lines.map((line) => line.replaceAll(schema, '<schema>'));
}

async function objectsOf(root: Session, schema: string) {
  const rows = await root.rows(
    `SELECT IF(table_type = 'VIEW', 'VIEW', 'TABLE') AS kind, table_name AS name
     FROM information_schema.tables WHERE table_schema = ? UNION ALL
     SELECT 'TRIGGER', trigger_name FROM information_schema.triggers
     WHERE trigger_schema = ? UNION ALL
     SELECT routine_type, routine_name FROM information_schema.routines
     WHERE routine_schema = ? UNION ALL
     SELECT 'EVENT', event_name FROM information_schema.events WHERE event_schema = ?
     ORDER BY 1, 2`,
    [schema, schema, schema, schema],
  );
  return rows as { kind: string; name: string }[] & RowDataPacket[];
}

/**
 * What is held of tables dropped from `schema` and those whose names begin like it: for each name
 * the rows of each drop, counted, not estimated, oldest drop first; where it is held in no schema
 * of undrop's, behind that schema's name.
 */
export async function heldDrops(server: TestServer, schema: string) {
  const held = await heldTables(server, (one) => one.startsWith(schema));
  const drops: Record<string, (number | string)[]> = {};
  for (const { rows, heldIn, ...origin } of held) {
    const name = `${origin.schema}.${origin.table}`.replace(`${schema}.`, '').replace(schema, '');
    drops[name] ??= [];
    drops[name].push(heldIn.startsWith('_undrop') ? rows : `${heldIn}: ${rows}`);
  }
  return drops;
}
