/**
 * All that a server has in schemas of users and of undrop, as text by name: to be compared with
 * another's. Left out is what the servers themselves don't keep equal: counters of AUTO_INCREMENT,
 * and when something was created.
 */
import { query, quoted, type Target } from './servers.js';

/** What by its name: `table s.t`, `rows s.t`, `trigger s.x`, `schema s`, `ledger <key>`. */
export type ServerState = ReadonlyMap<string, string>;

type Cells = Readonly<Record<string, unknown>>;

const SYSTEM = "('mysql', 'sys', 'information_schema', 'performance_schema')";

export async function stateOf(server: Target): Promise<ServerState> {
  const state = new Map<string, string>();
  const schemas = await query<Cells>(
    server,
    `SELECT SCHEMA_NAME AS name, DEFAULT_COLLATION_NAME AS collation
     FROM information_schema.SCHEMATA WHERE SCHEMA_NAME NOT IN ${SYSTEM}`,
  );
  for (const { name, collation } of schemas) state.set(`schema ${name}`, String(collation));
  const tables = await query<Cells>(
    server,
    `SELECT TABLE_SCHEMA AS s, TABLE_NAME AS t, TABLE_TYPE AS type FROM information_schema.TABLES
     WHERE TABLE_SCHEMA NOT IN ${SYSTEM} ORDER BY 1, 2`,
  );
  const programs = await query<Cells>(
    server,
    `SELECT 'trigger' AS kind, TRIGGER_SCHEMA AS s, TRIGGER_NAME AS t
     FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA NOT IN ${SYSTEM}
     UNION ALL SELECT LOWER(ROUTINE_TYPE), ROUTINE_SCHEMA, ROUTINE_NAME
     FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA NOT IN ${SYSTEM}`,
  );
  for (const { s, t } of tables) {
    state.set(`table ${s}.${t}`, await shown(server, `SHOW CREATE TABLE ${quoted(s, t)}`));
  }
  for (const { kind, s, t } of programs) {
    state.set(`${kind} ${s}.${t}`, await shown(server, `SHOW CREATE ${kind} ${quoted(s, t)}`));
  }
  const withRows = tables.filter(({ s, t, type }) => type !== 'VIEW' && !isLedger(s, t));
  if (withRows.length > 0) {
    const list = withRows.map(({ s, t }) => quoted(s, t)).join(', ');
    for (const row of await query<Cells>(server, `CHECKSUM TABLE ${list}`)) {
      state.set(`rows ${row['Table']}`, String(row['Checksum']));
    }
  }
  for (const { t } of tables.filter(({ s, t }) => isLedger(s, t))) {
    const rows = await query<Cells>(server, `SELECT * FROM _undrop.${t} WHERE row_logged = 1`);
    for (const row of rows) state.set(`ledger ${row['seq'] ?? row['id']}`, JSON.stringify(row));
  }
  return state;
}

/** Of what `stateOf` has by its name. */
export function schemaOf(what: string): string {
  const [, name = ''] = /^\w+ ([^.]*)/.exec(what) ?? [];
  return name;
}

/** It is in a schema of undrop's that replicas don't have. */
export function isLocal(what: string): boolean {
  return schemaOf(what).startsWith('_undrop_local');
}

function isLedger(schema: unknown, table: unknown): boolean {
  return schema === '_undrop' && ['ledger', 'history', 'proxies'].includes(String(table));
}

async function shown(server: Target, show: string): Promise<string> {
  const [row = {}] = await query<Cells>(server, show);
  const { Created: _created, ...kept } = row;
  return JSON.stringify(kept).replace(/ AUTO_INCREMENT=\d+/, '');
}

/** A line for each thing that isn't the same here and there; of names in `leaveOut` none. */
export function differences(
  source: ServerState,
  replica: ServerState,
  leaveOut: (what: string) => boolean,
): readonly string[] {
  const names = new Set([...source.keys(), ...replica.keys()]);
  return [...names].flatMap((what) => {
    const [here, there] = [source.get(what), replica.get(what)];
    if (leaveOut(what) || here === there) return [];
    if (here === undefined || there === undefined) {
      return [`${what}: only on the ${here === undefined ? 'replica' : 'source'}`];
    }
    let same = 0;
    while (here[same] === there[same]) same++;
    const from = Math.max(0, same - 60);
    return [`${what}: ${here.slice(from, same + 60)} <> ${there.slice(from, same + 60)}`];
  });
}
