/**
 * Scene for the matrix of faults: tables with partitions. MariaDB, and MySQL before 8, rename them
 * one by one; and a server that is killed amid that may leave it in pieces, which recovery has to
 * say of it then.
 */
import { expect } from '@jest/globals';
import type { Connection, RowDataPacket } from 'mysql2/promise';
import { PLAIN, type Scene } from './scenes.js';

const PARTITIONS: Readonly<Record<string, number>> = { a: 16, b: 8 };

export const PARTITIONED: Scene = {
  ...PLAIN,
  title: 'a drop of tables with partitions',
  make: async (connection, schema) => {
    await PLAIN.make(connection, schema);
    for (const [table, count] of Object.entries(PARTITIONS)) {
      await connection.query(
        `ALTER TABLE ${schema}.${table} PARTITION BY HASH (id) PARTITIONS ${count}`,
      );
    }
  },
};

/** Those that recovery says are in pieces. Rejects where a piece of one is missing. */
export async function tornTables(
  connection: Connection,
  schema: string,
): Promise<readonly string[]> {
  const [torn] = await connection.query<RowDataPacket[]>(
    `SELECT id, table_name AS name FROM _undrop.ledger
     WHERE schema_name = ? AND state = 'intent' AND todo = 'torn'`,
    [schema],
  );
  for (const { id, name } of torn) {
    const [pieces] = await connection.query<RowDataPacket[]>(
      `SELECT NAME FROM information_schema.INNODB_SYS_TABLES
       WHERE NAME LIKE '${schema}/${name}#p#%' OR NAME LIKE '%${id}%#p#%'`,
    );
    expect(pieces).toHaveLength(PARTITIONS[String(name)] ?? 0);
  }
  return torn.map(({ name }) => String(name)).sort();
}
