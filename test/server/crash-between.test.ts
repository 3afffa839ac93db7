/**
 * MySQL 5.6, killed in the middle of a RENAME: InnoDB has the table under its hold name, the .frm
 * file is under its own one, and nothing can open it until somebody renames the file. No other
 * server of the set has two dictionaries.
 */

import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { freshLedger } from '../support/fresh-ledger.js';
import { inHooks } from '../support/on-servers.js';
import { connect, freshSchema, query, testServer } from '../support/servers.js';
import { poolOn } from '../support/service-pool.js';
import { endSession, intend, recoverOnce, renameAway, rowCounts } from './service-fixture.js';

const server = testServer('mysql-5.6');
const { beforeAll, open } = inHooks();
const pool = open(() => poolOn(server));
beforeAll(() => freshLedger(server));

test('an intent is kept while its table is between two names, and completed behind that', async () => {
  await using schema = await freshSchema(server);
  await query(server, `CREATE TABLE ${schema.name}.a (id INT) ENGINE=InnoDB`);
  await query(server, `INSERT INTO ${schema.name}.a VALUES (1), (2)`);
  const session = await connect(server, { database: schema.name });
  const drop = await intend(pool, session, { schema: schema.name, tables: ['a'] });
  await renameAway(session, drop);
  await endSession(server, session);
  const folder = join(server.dataDir ?? '', schema.name);
  const [holdName = ''] = drop.holdNames;
  const file = (name: string) => join(folder, `${name}.frm`);
  const [{ id } = { id: '' }] = drop.facts.tables;

  await rename(file(holdName), file('a'));
  await query(server, 'FLUSH TABLES');
  expect(await recoverOnce(pool)).toMatchObject({ untouched: [id], forgotten: [], completed: [] });
  const stateOfIt = `SELECT state FROM _undrop.ledger WHERE id = '${id}'`;
  expect(await query(server, stateOfIt)).toEqual([{ state: 'intent' }]);

  await rename(file('a'), file(holdName));
  await query(server, 'FLUSH TABLES');
  expect(await recoverOnce(pool)).toMatchObject({ untouched: [], forgotten: [], completed: [id] });
  expect(await rowCounts(server, '_undrop')).toMatchObject({ [holdName]: 2 });
});
