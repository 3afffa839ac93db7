/**
 * The replication filters of a server that go by the default schema of a session, as far as it
 * shows them. The service account's statements have none, and name other schemas than the user's:
 * such a filter leaves some of a drop's statements out, and the replica stops or differs.
 * https://dev.mysql.com/doc/refman/9.7/en/replication-rules-db-options.html
 */

import * as col from '../service/columns.js';
import { unlessRefused } from '../service/errors.js';
import type { ServicePool } from '../service/pool/pools.js';
import { readServerFacts } from '../service/server-facts.js';
import { note, type SQLQuery, sql } from '../service/sql.js';

/** A sentence without a final period; null: no such filter is seen. */
export async function filterProblem(pool: ServicePool): Promise<string | null> {
  const { flavour, versionId } = await readServerFacts(pool);
  // Without the privilege for it, the server tells nothing; that is no reason to log in again.
  const read = async (text: SQLQuery) =>
    (await unlessRefused(pool.run(text, { fresh: false }), []))[0] ?? [];
  const isNew = flavour === 'mysql' && versionId >= 80_400;
  const logged = await read(isNew ? sql`SHOW BINARY LOG STATUS` : sql`SHOW MASTER STATUS`);
  const ofLog = logged.flatMap((row) =>
    ['Binlog_Do_DB', 'Binlog_Ignore_DB'].map((name) => [name, col.textOrNull(row, name) ?? '']),
  );
  const applied =
    flavour === 'mysql' && versionId < 80_000
      ? []
      : await read(flavour === 'mariadb' ? OF_MARIADB : OF_MYSQL);
  const ofReplica = applied.map((row) => Object.values(row).map(String));
  const found = [...ofLog, ...ofReplica].flatMap(([name = '', value = '']) =>
    value === '' ? [] : [`${name.toLowerCase().replaceAll('_', '-')}=${value}`],
  );
  return found.length === 0 ? null : `${found.join(', ')}: ${INSTEAD}`;
}

const INSTEAD =
  "such filters go by the default schema, which undrop's statements do not have, so a replica stops or differs; filter by tables instead: replicate-wild-do-table=shop.% and replicate-wild-do-table=\\_undrop%.%";

const OF_MARIADB = sql`SHOW GLOBAL VARIABLES
  WHERE Variable_name IN ('replicate_do_db', 'replicate_ignore_db')`;
const OF_MYSQL = sql`SELECT ${note('look')} FILTER_NAME, FILTER_RULE
    FROM performance_schema.replication_applier_global_filters
    WHERE FILTER_NAME LIKE 'REPLICATE%DB'
  UNION SELECT FILTER_NAME, FILTER_RULE FROM performance_schema.replication_applier_filters
    WHERE FILTER_NAME LIKE 'REPLICATE%DB'`;
