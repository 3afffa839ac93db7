/** Very many held tables, made without dropping each: of one that was dropped, `held.t`. */
import { randomBytes } from 'node:crypto';
import { formatHoldName, newHoldId } from '../src/names/names.js';
import { connect, type Target } from '../test/support/servers.js';

/** For the server: the filling waits for no disk. */
export const FILL_FAST = '--innodb-flush-log-at-trx-commit=0';

const AT_ONCE = 200;
const DAY_MS = 86_400_000;

/** Tables with hold names, and their rows in the ledger, all as the one that was dropped. */
export async function holdMany(server: Target, tables: number): Promise<void> {
  const root = await connect(server, { multipleStatements: true });
  await root.query('CREATE TABLE _undrop.one AS SELECT * FROM _undrop.ledger LIMIT 1');
  const dueMs = Date.now() + DAY_MS;
  for (let from = 0; from < tables; from += AT_ONCE) {
    const names = Array.from({ length: AT_ONCE }, (_, index) => {
      const id = newHoldId(Date.now(), randomBytes);
      const due = new Date(dueMs + 1_000 * ((from + index) % 86_400));
      return { id, table: `t${from + index}`, name: formatHoldName({ state: 'HOLD', id, due }) };
    });
    const creations = names.map(
      ({ name }) => `CREATE TABLE _undrop.${name} (id INT) ENGINE=InnoDB`,
    );
    await root.query(creations.join(';'));
    const changes = names.map(
      ({ id, table, name }) =>
        `UPDATE _undrop.one SET id = '${id}', group_id = '${id}', table_name = '${table}', hold_name = '${name}';
         INSERT INTO _undrop.ledger SELECT * FROM _undrop.one`,
    );
    await root.query(`START TRANSACTION; ${changes.join(';')}; COMMIT`);
  }
  await root.query('DROP TABLE _undrop.one');
  await root.end();
}
