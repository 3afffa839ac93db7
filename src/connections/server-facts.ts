/**
 * The kind of the server and its state. By SHOW VARIABLES, because it works on every server without
 * an error for missing variables. Read again for each decision.
 */
import { UndropError } from '../errors.js';
import { parseServerVersion } from '../wire/connection/handshake-v10.js';
import type { Row, RunOptions, ServiceConnection } from './sql.js';
import { col, ident, note, sql, valueList } from './sql.js';

export interface ServerFacts {
  readonly flavour: 'mysql' | 'mariadb';
  /** The server's own text: `10.11.19-MariaDB-log`. */
  readonly version: string;
  /** 90704 for 9.7.4, 50624, 101119. */
  readonly versionId: number;
  readonly readOnly: boolean;
  readonly adaptiveHashIndex: boolean;
  readonly lowerCaseTableNames: 0 | 1 | 2;
  /** Identifies the data directory: the uuid, or the nearest to it. */
  readonly serverIdentity: string;
  /** Identifies a Galera cluster or a group; null: the server is in none. */
  readonly cluster: string | null;
  readonly performanceSchema: boolean;
  readonly utcNow: Date;
  /** By the server's uptime, to the second. */
  readonly startedAt: Date;
}

const FACTS = [
  sql`SHOW GLOBAL VARIABLES WHERE Variable_name IN ('version', 'read_only', 'super_read_only',
    'innodb_read_only', 'innodb_adaptive_hash_index', 'lower_case_table_names', 'server_uuid',
    'server_uid', 'server_id', 'hostname', 'datadir', 'port', 'performance_schema', 'wsrep_on',
    'group_replication_group_name')`,
  sql`SHOW GLOBAL STATUS WHERE Variable_name IN ('Uptime', 'wsrep_cluster_state_uuid')`,
  sql`SELECT ${note('facts')} UTC_TIMESTAMP() AS utcNow`,
];

/** By the server's clock. */
export async function readNow(connection: ServiceConnection): Promise<Date> {
  const [[row = {}] = []] = await connection.run(
    sql`SELECT ${note('time')} UTC_TIMESTAMP() AS utcNow`,
  );
  return col.date(row, 'utcNow');
}

export async function readServerFacts(connection: ServiceConnection): Promise<ServerFacts> {
  const [variableRows, statusRows, timeRows = []] = await connection.run(FACTS);
  const asMap = (rows: readonly Row[] = []) =>
    new Map(rows.map((row) => [col.text(row, 'Variable_name'), col.text(row, 'Value')]));
  const [variables, status] = [asMap(variableRows), asMap(statusRows)];
  const variable = (name: string): string => variables.get(name) ?? '';
  const utcNow = col.date(timeRows[0] ?? {}, 'utcNow');
  const uptimeS = Number(status.get('Uptime'));
  const version = variable('version');
  return {
    flavour: /mariadb/i.test(version) ? 'mariadb' : 'mysql',
    version,
    versionId: versionIdOf(version),
    readOnly: ['read_only', 'super_read_only', 'innodb_read_only'].some((name) =>
      isOn(variable(name)),
    ),
    adaptiveHashIndex: isOn(variable('innodb_adaptive_hash_index')),
    lowerCaseTableNames: lowerCaseOf(variable('lower_case_table_names')),
    serverIdentity: identityOf(variable),
    cluster: clusterOf(variable, status.get('wsrep_cluster_state_uuid') ?? ''),
    performanceSchema: isOn(variable('performance_schema')),
    utcNow,
    startedAt: new Date(utcNow.getTime() - uptimeS * 1000),
  };
}

/**
 * Numbers of SHOW GLOBAL STATUS by their names; values that a server doesn't report are missing.
 */
export async function readStatusVariables(
  connection: ServiceConnection,
  names: readonly string[],
  options: RunOptions = {},
): Promise<ReadonlyMap<string, number>> {
  const [rows = []] = await connection.run(
    sql`SHOW GLOBAL STATUS WHERE Variable_name IN (${valueList(names)})`,
    options,
  );
  return new Map(rows.map((row) => [col.text(row, 'Variable_name'), col.number(row, 'Value')]));
}

/** 90704 for `9.7.4-2`, 101119 for `10.11.19-MariaDB`. */
export function versionIdOf(version: string): number {
  const { versionId } = parseServerVersion(version);
  if (versionId > 0) return versionId;
  const cause = `its version is ${JSON.stringify(version)}`;
  const params = { step: 'read the version', server: 'the server', cause };
  throw new UndropError('UNDROP_SERVICE_FAILED', params);
}

function identityOf(variable: (name: string) => string): string {
  const own = variable('server_uuid') || variable('server_uid');
  return own || ['hostname', 'port', 'datadir', 'server_id'].map(variable).join('|');
}

function clusterOf(variable: (name: string) => string, galera: string): string | null {
  const id = isOn(variable('wsrep_on')) ? galera : variable('group_replication_group_name');
  return id === '' ? null : `cluster ${id}`;
}

/** MariaDB 12 has more values for read_only than ON and OFF; all of them refuse writes. */
function isOn(value: string): boolean {
  return !['', 'OFF', '0'].includes(value.toUpperCase());
}

function lowerCaseOf(value: string): 0 | 1 | 2 {
  return value === '1' ? 1 : value === '2' ? 2 : 0;
}

/** The first row may come after many that are marked as deleted. */
const SKIP_MS = 120_000;

/** Whether a table has rows that this account can see. Rejects with the server's error. */
export async function hasRows(
  pool: ServiceConnection,
  { id, schema, name }: { readonly id: string; readonly schema: string; readonly name: string },
): Promise<boolean> {
  const [rows = []] = await pool.run(
    sql`SELECT ${note('rows', id)} 1 AS one FROM ${ident(schema, name)} LIMIT 1`,
    { deadlineMs: SKIP_MS },
  );
  return rows.length > 0;
}
