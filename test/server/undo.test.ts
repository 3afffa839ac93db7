/** Listing and restoring on real servers, also against a collector that wants the same table. */
import { randomBytes } from 'node:crypto';
import { expect } from '@jest/globals';
import { UndropError } from '../../src/errors.js';
import { retireBarrierTable } from '../../src/held/relocate/retire-barrier-table.js';
import { recordIntent } from '../../src/ledger/intents/record-intent.js';
import { findRows } from '../../src/ledger/read.js';
import { recordOutcome } from '../../src/ledger/write.js';
import { barrierTableName, formatHoldName, newHoldId } from '../../src/names/names.js';
import { listAll } from '../../src/restore/held-tables.js';
import { restore } from '../../src/restore/restore.js';
import { findHoldTables } from '../../src/service/hold-tables.js';
import {
  beforeEachStep,
  countRows,
  type Held,
  holdTable,
  startCollecting,
  until,
  whereIs,
} from '../lifecycle/collecting.js';
import { dropRecycleSchemas, freshLedger } from '../support/fresh-ledger.js';
import { onServers } from '../support/on-servers.js';
import { runUndrop } from '../support/proxy.js';
import { connect, freshSchema, query } from '../support/servers.js';
import { makeServiceAccount, SERVICE_ACCOUNT } from '../support/service-account.js';
import { poolOn } from '../support/service-pool.js';
import { tappedPool } from '../support/tapped-pool.js';

onServers('undo on $name', (server, on) => {
  const { afterAll, beforeEach, test } = on;
  beforeEach(() => freshLedger(server));
  const pool = on.each.pool();
  const schema = on.each.schema();
  afterAll(() => freshLedger(server));

  /** What a drop through the proxy leaves: a ledger row, and the table under its hold name. */
  async function drop(table: string, options: { holdMs?: number; stay?: boolean } = {}) {
    const { holdMs = 3_600_000, stay = false } = options;
    const own = `\`${schema.name}\`.${quote(table)}`;
    await query(
      server,
      `CREATE TABLE ${own} (id INT PRIMARY KEY, note VARCHAR(40))`,
      `INSERT INTO ${own} VALUES (1, 'a'), (2, 'b'), (3, 'c')`,
    );
    const id = newHoldId(Date.now(), randomBytes);
    const facts = await recordIntent(pool, {
      groupId: id,
      proxyId: 'test',
      threadId: 1,
      user: 'app',
      clientAddress: '10.0.0.1:50000',
      statementText: `DROP TABLE ${table}`,
      holdMs,
      tables: [{ id, schema: schema.name, table }],
    });
    const due = facts.tables[0]?.holdUntil;
    if (!due) throw new Error('the intent was not recorded');
    const name = formatHoldName({ state: 'HOLD', id, due });
    const home = stay ? schema.name : '_undrop';
    const quoted = `\`${home}\`.\`${name}\``;
    await query(server, `RENAME TABLE ${own} TO ${quoted}`);
    await recordOutcome(pool, {
      tables: [{ id, holdSchema: home, holdName: name, relocated: !stay }],
    });
    return { id, schema: home, name, quoted };
  }

  const rowsOf = (table: string) => countRows(server, `\`${schema.name}\`.${quote(table)}`);
  const codeOf = (work: Promise<unknown>) =>
    work.then(
      () => 'done',
      (error: unknown) => (error instanceof UndropError ? error.code : Promise.reject(error)),
    );

  test('lists what is held, with where it came from, and what the ledger does not know', async () => {
    const held = await drop('orders');
    const stayed = await drop('items', { stay: true });
    const lost = await holdTable(server);
    const list = await listAll(pool);
    const byId = new Map(list.map((table) => [table.id, table]));
    expect(list).toHaveLength(3);
    expect(byId.get(held.id)).toMatchObject({
      state: 'HOLD',
      holdSchema: '_undrop',
      holdName: held.name,
      origin: { schema: schema.name, table: 'orders' },
      user: 'app',
      rowLogged: true,
    });
    expect(byId.get(stayed.id)).toMatchObject({
      holdSchema: schema.name,
      origin: { schema: schema.name, table: 'items' },
    });
    expect(byId.get(lost.id)).toMatchObject({ origin: null, user: null });
  });

  test('does not list the barrier of a DROP DATABASE that is on its way out', async () => {
    const groupId = newHoldId(Date.now(), randomBytes);
    const barrier = barrierTableName({ groupId, logged: true });
    await query(server, `CREATE TABLE \`${schema.name}\`.\`${barrier}\` (id INT)`);
    expect(await retireBarrierTable(pool, { schema: schema.name, groupId })).toBe(true);
    expect(await findHoldTables(pool, ['_undrop'], groupId)).toHaveLength(1);
    expect(await listAll(pool)).toEqual([]);
  });

  test('says of a table out of its account’s sight where it is, and nothing of what is gone', async () => {
    const user = `u_${schema.name.slice(-8)}`;
    await using other = await freshSchema(server);
    await makeServiceAccount(server, { user, tier: 'least', schemas: [other.name] });
    await using own = poolOn({ ...server, user, password: SERVICE_ACCOUNT.password });
    try {
      const { id, name: holdName, quoted } = await drop('orders', { stay: true });
      const unseen = { id, state: 'HOLD', holdSchema: schema.name, holdName, unseen: true };
      expect(await listAll(own)).toMatchObject([unseen]);
      for (const target of ['orders', id]) {
        await expect(restore(own, { target })).rejects.toMatchObject({
          code: 'UNDROP_MISSING_RIGHT',
          message: expect.stringContaining(`cannot see ${schema.name}.${holdName}`),
        });
      }
      const [seen] = await listAll(pool);
      expect([seen?.id, seen && 'unseen' in seen]).toEqual([id, false]);
      await query(server, `DROP TABLE ${quoted}`);
      expect(await listAll(pool)).toEqual([]);
    } finally {
      await query(server, `DROP USER '${user}'@'%'`);
    }
  });

  test('says no number of rows where the server’s estimate is 0', async () => {
    const { id } = await drop('orders');
    await query(server, `UPDATE _undrop.ledger SET row_estimate = 0 WHERE id = '${id}'`);
    expect(await listAll(pool)).toMatchObject([{ id, rowEstimate: null }]);
    expect(await restore(pool, { target: id })).toMatchObject({ rowEstimate: null });
  });

  test.each([
    ['its name', (_held: Held) => 'orders'],
    ['its id', (held: Held) => held.id],
    ['the beginning of its id', (held: Held) => held.id.slice(0, 20)],
  ])('says by %s that a table is back already, and since when', async (_how, target) => {
    const held = await drop('orders');
    const to = `${schema.name}.orders_2`;
    await restore(pool, { target: held.id, to });
    await expect(restore(pool, { target: target(held) })).rejects.toMatchObject({
      code: 'UNDROP_NO_SUCH_HELD',
      message: expect.stringMatching(
        new RegExp(`It was restored at \\d{4}-\\d\\d-\\d\\d \\S+ UTC as ${to}\\.`),
      ),
    });
  });

  test('says of what was removed for good that, and not how an earlier drop has ended', async () => {
    const first = await drop('orders');
    await restore(pool, { target: first.id, to: `${schema.name}.orders_2` });
    const { id } = await drop('orders');
    const [held] = await findHoldTables(pool, ['_undrop'], id);
    await query(
      server,
      `DROP TABLE _undrop.${held?.name}`,
      `UPDATE _undrop.ledger SET state = 'removed', ended_at = UTC_TIMESTAMP() WHERE id = '${id}'`,
    );
    for (const target of ['orders', id]) {
      await expect(restore(pool, { target })).rejects.toMatchObject({
        code: 'UNDROP_NO_SUCH_HELD',
        message: expect.stringMatching(/It was removed for good at \d{4}-\d\d-\d\d \S+ UTC\./),
      });
    }
  });

  test('lists without a ledger', async () => {
    const held = await drop('orders');
    await query(server, 'DROP TABLE _undrop.ledger');
    expect(await listAll(pool)).toMatchObject([{ id: held.id, origin: null }]);
  });

  test('lists nothing where undrop never was', async () => {
    await dropRecycleSchemas(server);
    expect(await listAll(pool)).toEqual([]);
  });

  test.each([
    ['its name', (_held: Held) => 'orders'],
    ['its id', (held: Held) => held.id],
  ])('restores by %s, with all rows, and the ledger knows', async (_how, target) => {
    const held = await drop('orders');
    const report = await restore(pool, { target: target(held) });
    expect(report).toMatchObject({
      id: held.id,
      restoredAs: { schema: schema.name, table: 'orders' },
      recorded: true,
      others: [],
    });
    expect(await rowsOf('orders')).toBe(3);
    expect(await listAll(pool)).toEqual([]);
    const [row] = await findRows(pool, { by: 'id', prefix: held.id });
    expect(row).toMatchObject({ state: 'restored', restoredAs: `${schema.name}.orders` });
  });

  test('restores the newest of a name, and names the others', async () => {
    const older = await drop('orders');
    const newer = await drop('orders');
    const report = await restore(pool, { target: `${schema.name}.orders` });
    expect(report.id).toBe(newer.id);
    expect(report.others.map(({ id }) => id)).toEqual([older.id]);
    const second = await restore(pool, { target: 'orders', to: 'orders_old' });
    expect(second.id).toBe(older.id);
    expect([await rowsOf('orders'), await rowsOf('orders_old')]).toEqual([3, 3]);
  });

  test('says of a table with a dot in its name, which stands in backticks, that it is back', async () => {
    await drop('we.ird');
    expect(await codeOf(restore(pool, { target: 'we.ird' }))).toBe('UNDROP_NO_SUCH_HELD');
    await restore(pool, { target: '`we.ird`' });
    for (const target of ['`we.ird`', `${schema.name}.\`we.ird\``]) {
      const message = expect.stringContaining(`"${target}". It was restored at `);
      await expect(restore(pool, { target })).rejects.toMatchObject({ message });
    }
  });

  test('restores names that need care', async () => {
    const table = 'O`r.d 表 é';
    await drop(table);
    const report = await restore(pool, { target: '`O``r.d 表 é`' });
    expect(report.restoredAs.table).toBe(table);
    expect(await rowsOf(table)).toBe(3);
  });

  test('restores what is still held in its own schema', async () => {
    await drop('orders', { stay: true });
    await restore(pool, { target: 'orders' });
    expect(await rowsOf('orders')).toBe(3);
  });

  test('says of a table with triggers that no server moves it to another schema', async () => {
    await using other = await freshSchema(server);
    const { id, quoted } = await drop('orders', { stay: true });
    const trigger = `${schema.name}.tr BEFORE INSERT ON ${quoted} FOR EACH ROW SET @a = 1`;
    await query(server, `CREATE TRIGGER ${trigger}`);
    const elsewhere = restore(pool, { target: id, to: `${other.name}.orders` });
    await expect(elsewhere).rejects.toMatchObject({ code: 'UNDROP_TRIGGERS_STAY' });
    await restore(pool, { target: id });
    expect(await rowsOf('orders')).toBe(3);
  });

  test('names the row whose foreign keys and triggers can not be read', async () => {
    const { id, quoted } = await drop('orders');
    await query(server, `UPDATE _undrop.ledger SET detached = '{"keysOut":' WHERE id = '${id}'`);
    await expect(restore(pool, { target: 'orders' })).rejects.toMatchObject({
      code: 'UNDROP_LEDGER_ROW',
      message: expect.stringContaining(id),
    });
    expect(await countRows(server, quoted)).toBe(3);
    const { code, stderr } = await runUndrop(server, ['show', id]);
    expect([code, stderr]).toEqual([1, expect.stringMatching(/UNDROP_LEDGER_ROW/)]);
    await query(server, `UPDATE _undrop.ledger SET detached = NULL WHERE id = '${id}'`);
    await restore(pool, { target: 'orders' });
    expect(await rowsOf('orders')).toBe(3);
  });

  test('says it where statistics that were left have the name', async () => {
    await drop('orders');
    const stale = `'${schema.name}', 'orders', NOW(), 0, 1, 0`;
    await query(server, `INSERT INTO mysql.innodb_table_stats VALUES (${stale})`);
    try {
      // MySQL and MariaDB 10.5 write over them.
      const isInTheWay = server.flavour === 'mariadb' && server.name !== 'mariadb-10.5';
      const code = await codeOf(restore(pool, { target: 'orders' }));
      expect(code).toBe(isInTheWay ? 'UNDROP_STATISTICS_LEFT' : 'done');
      if (isInTheWay) await restore(pool, { target: 'orders', to: 'orders_back' });
      expect(await rowsOf(isInTheWay ? 'orders_back' : 'orders')).toBe(3);
    } finally {
      await query(server, `DELETE FROM mysql.innodb_table_stats WHERE table_name = 'orders'`);
    }
  });

  test('refuses where the name is taken, and changes nothing', async () => {
    const held = await drop('orders');
    await query(server, `CREATE TABLE ${schema.name}.orders (id INT)`);
    expect(await codeOf(restore(pool, { target: 'orders' }))).toBe('UNDROP_NAME_TAKEN');
    expect(await countRows(server, held.quoted)).toBe(3);
    expect(await rowsOf('orders')).toBe(0);
  });

  test('refuses where the schema is gone, and restores into another', async () => {
    const held = await drop('orders');
    await schema.drop();
    await expect(restore(pool, { target: 'orders' })).rejects.toMatchObject({
      code: 'UNDROP_SCHEMA_MISSING',
      message: expect.stringContaining('or the service account has no privilege on it'),
    });
    await using another = await freshSchema(server);
    await restore(pool, { target: held.id, to: `${another.name}.orders` });
    expect(await countRows(server, `${another.name}.orders`)).toBe(3);
  });

  test.each(['mysql', 'MYSQL', 'sys', 'information_schema', 'performance_schema'])(
    'restores nothing into %s, which is the server’s own',
    async (own) => {
      const held = await drop('orders');
      const args = ['restore', `${schema.name}.orders`, '--to', `${own}.orders`];
      const { code, stderr } = await runUndrop(server, args);
      expect([code, stderr]).toEqual([1, expect.stringMatching(/UNDROP_BAD_TARGET/)]);
      expect(await countRows(server, held.quoted)).toBe(3);
    },
  );

  test.each(['x ', 'o\u{1f600}'])('refuses the name "%s", which no server takes', async (to) => {
    const held = await drop('orders');
    expect(await codeOf(restore(pool, { target: 'orders', to }))).toBe('UNDROP_BAD_TARGET');
    expect(await countRows(server, held.quoted)).toBe(3);
  });

  test.each([undefined, 'other'])('the slower of two restores is refused (to %s)', async (to) => {
    const held = await drop('orders');
    const tapped = tappedPool(pool, async (send, texts) => {
      if (texts.some((text) => text.includes('put-back'))) await restore(pool, { target: held.id });
      return send();
    });
    const name = to === undefined ? undefined : `${schema.name}.${to}`;
    const code = await codeOf(restore(tapped, { target: 'orders', to: name }));
    // Which of the two names a server looks at first isn't the same everywhere.
    const codes = ['UNDROP_NOT_HELD', ...(to === undefined ? ['UNDROP_NAME_TAKEN'] : [])];
    expect(codes).toContain(code);
    expect(await rowsOf('orders')).toBe(3);
  });

  test('says which right is missing, also the one for sql_log_bin=0', async () => {
    const user = `u_${schema.name.slice(-8)}`;
    await makeServiceAccount(server, { user, tier: 'managed' });
    await using own = poolOn({ ...server, user, password: SERVICE_ACCOUNT.password });
    try {
      const { id } = await drop('orders', { stay: true });
      await query(server, `UPDATE _undrop.ledger SET sql_log_bin = 0 WHERE id = '${id}'`);
      await expect(restore(own, { target: 'orders' })).rejects.toMatchObject({
        code: 'UNDROP_MISSING_RIGHT',
        message: expect.stringContaining('`undrop doctor`'),
      });
      await query(
        server,
        `UPDATE _undrop.ledger SET sql_log_bin = 1 WHERE id = '${id}'`,
        `REVOKE ALTER ON *.* FROM '${user}'@'%'`,
      );
      await using again = poolOn({ ...server, user, password: SERVICE_ACCOUNT.password });
      await expect(restore(again, { target: 'orders' })).rejects.toMatchObject({
        code: 'UNDROP_MISSING_RIGHT',
        message: expect.stringMatching(/ALTER.*`undrop doctor`/),
      });
    } finally {
      await query(server, `DROP USER '${user}'@'%'`);
    }
  });

  test('refuses what is being emptied', async () => {
    const held = await holdTable(server, { state: 'PURGE' });
    const to = `${schema.name}.x`;
    expect(await codeOf(restore(pool, { target: held.id, to }))).toBe('UNDROP_NOT_RESTORABLE');
    expect(await whereIs(server, held.id)).toHaveLength(1);
  });

  test('refuses while somebody reads the held table, without waiting for long', async () => {
    const held = await drop('orders');
    const reader = await connect(server);
    await reader.run('BEGIN', `SELECT * FROM ${held.quoted}`);
    expect(await codeOf(restore(pool, { target: 'orders' }))).toBe('UNDROP_BUSY');
    await reader.end();
    await restore(pool, { target: 'orders' });
    expect(await rowsOf('orders')).toBe(3);
  });

  test('collects a table in its own schema on the word of the ledger, in every state', async () => {
    const held = await drop('orders', { stay: true, holdMs: 0 });
    const stranger = `_vt_DROP_${newHoldId(Date.now(), randomBytes)}_20200101000000`;
    await query(server, `CREATE TABLE ${schema.name}.${stranger} (id INT)`);
    on.each.keep(startCollecting(server, { fastDrop: 'never' }));
    await until('its row says so', async () => {
      const [row] = await findRows(pool, { by: 'id', prefix: held.id });
      return row?.state === 'removed';
    });
    const tables = await query<{ name: string }>(
      server,
      `SELECT TABLE_NAME AS name FROM information_schema.TABLES
       WHERE TABLE_SCHEMA = '${schema.name}'`,
    );
    expect(tables.map(({ name }) => name)).toEqual([stranger]);
  });

  test('the ledger follows the lifecycle, and forgets ended rows when their time is over', async () => {
    const held = await drop('orders', { holdMs: 0 });
    const kept = await drop('items');
    const collecting = on.each.keep(startCollecting(server, { ledgerKeepMs: 3_600_000 }));
    await until('its row says so', async () => {
      const [row] = await findRows(pool, { by: 'id', prefix: held.id });
      return row?.state === 'removed' && row.endedAt !== null;
    });
    await query(
      server,
      "UPDATE _undrop.ledger SET ended_at = '2020-01-01' WHERE state = 'removed'",
    );
    await collecting.looked();
    const ids = (await findRows(pool, { by: 'id', prefix: '0' })).map(({ id }) => id);
    expect(ids).toEqual([kept.id]);
  });

  test('a restore and a collection of the same table: one wins, the other finds nothing', async () => {
    const tables = Array.from({ length: 12 }, (_, index) => `t${index}`);
    const held = new Map<string, string>();
    for (const table of tables) held.set((await drop(table, { holdMs: 0 })).id, table);
    const restores = new Map<string, Promise<string>>();
    // Just before the collector's first step: half of them are restored first, half race with it.
    const tap = (quoted: string): Promise<unknown> => {
      const [, id = ''] = /_vt_HOLD_([0-9a-f]{32})_/.exec(quoted) ?? [];
      const table = held.get(id);
      if (table === undefined) return Promise.resolve();
      const work = codeOf(restore(pool, { target: id }));
      restores.set(table, work);
      return tables.indexOf(table) % 2 === 0 ? work : Promise.resolve();
    };
    on.each.keep(startCollecting(server, { fastDrop: 'never' }, (its) => beforeEachStep(its, tap)));
    await until('all were tried', () => restores.size === tables.length);
    await until('nothing is held any more', async () => (await listAll(pool)).length === 0);
    const restored: string[] = [];
    for (const [table, work] of restores) {
      const outcome = await work;
      if (outcome === 'done') restored.push(table);
      else expect(LOST_THE_RACE).toContain(outcome);
    }
    const first = tables.filter((_, index) => index % 2 === 0);
    expect(restored).toEqual(expect.arrayContaining(first));
    const back = await query<{ name: string }>(
      server,
      `SELECT TABLE_NAME AS name FROM information_schema.TABLES
       WHERE TABLE_SCHEMA = '${schema.name}'`,
    );
    expect(back.map(({ name }) => name).sort()).toEqual([...restored].sort());
    for (const table of restored) expect([table, await rowsOf(table)]).toEqual([table, 3]);
    const rows = await findRows(pool, { by: 'id', prefix: '0' });
    const states = rows.map(({ table, state }) => `${table} ${state}`).sort();
    const expected = tables.map(
      (table) => `${table} ${restored.includes(table) ? 'restored' : 'removed'}`,
    );
    expect(states).toEqual(expected.sort());
  });
});

const LOST_THE_RACE = [
  'UNDROP_NOT_HELD',
  'UNDROP_NOT_RESTORABLE',
  'UNDROP_NO_SUCH_HELD',
  'UNDROP_BUSY',
];

const quote = (name: string): string => `\`${name.replaceAll('`', '``')}\``;
