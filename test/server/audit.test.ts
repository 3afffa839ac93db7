/**
 * The audit: each event once, in the log, in UNDROP_AUDIT_FILE and in the ledger's history, with
 * the fields of `AUDIT_EVENTS`, of which its page is made, and which is imported for that. And the
 * log of a proxy that says all it can: a line for each statement that was refused or held, with who
 * it was, as the ledger has it, and in none of them a password or another literal of a user.
 */
import { mkdir, readFile } from 'node:fs/promises';
import net from 'node:net';
import { join } from 'node:path';
import { AUDIT_EVENTS, type AuditName } from '../../src/audit.js';
import { temporaryFolder } from '../support/folders.js';
import { freshLedger } from '../support/fresh-ledger.js';
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { type ProxyProcess, reloadBySignal, spawnProxy, type Variables } from '../support/proxy.js';
import { frame } from '../support/raw-client.js';
import { connect, freshSchema, query, type Target, testServers } from '../support/servers.js';
import { Peer } from '../support/session-bench.js';

type Line = Readonly<Record<string, unknown>>;

/** Beside the fields of its event. */
const OF_ALL = ['event', 'at', 'message', 'user', 'client', 'threadId', 'program', 'proxyId'];

onServers('the audit on $name', (server, on) => {
  const { afterAll, beforeEach, test } = on;
  let folder = '';
  let proxy: ProxyProcess | null = null;
  beforeEach(() => freshLedger(server));
  afterAll(() => freshLedger(server));
  const schema = on.each.schema('audit');
  beforeEach(async () => {
    folder = on.each.keep(await temporaryFolder('audit')).path;
  });

  async function open(variables: Variables): Promise<ProxyProcess> {
    proxy = on.each.keep(await spawnProxy(server, variables));
    return proxy;
  }

  /** A client that has made these tables. */
  async function clientWith(...tables: readonly string[]) {
    const client = await connect(proxy ?? server, { database: schema.name });
    for (const table of tables) await client.query(`CREATE TABLE ${table} (id INT)`);
    return client;
  }

  async function linesOf(file: string): Promise<readonly Line[]> {
    const text = await readFile(join(folder, file), 'utf8').catch(() => '');
    return text
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as Line);
  }

  const historyOf = (columns: string) =>
    query<Record<string, unknown>>(
      server,
      `SELECT ${columns} FROM _undrop.history ORDER BY at, seq`,
    );

  test('each event is there once, with the fields that the page has', async () => {
    const { lines } = await open({
      AUDIT_FILE: join(folder, 'audit'),
      RULES: '*.now_t: now; *.native_t: native; *.hinted: hold=2h',
      PROTECT: 'drop-table,drop-database,truncate',
      ...{ COLLECT: 'on', FAST_DROP: 'always', CHECK_INTERVAL: '1s' },
    });
    const client = await clientWith('a', 'b', 'emptied', 'now_t', 'native_t', 'hinted');
    await client.run('DROP TABLE a, b', 'TRUNCATE emptied');
    await client.run('DROP TABLE /*undrop: hold=2d */ hinted', 'DROP TABLE native_t');
    await expect(client.query('DROP TABLE _undrop.ledger')).rejects.toThrow(/UNDROP_RECYCLE/);
    await client.run('DROP TABLE now_t', `DROP DATABASE ${schema.name}`);
    const id = client.threadId;
    await client.end();
    const wanted = [
      ...['a', 'b'].map((table) => `held ${table} DROP TABLE`),
      ...['emptied TRUNCATE', 'hinted DROP TABLE', 'now_t DROP TABLE'].map((one) => `held ${one}`),
      ...['hint', 'native', 'refused', 'transition now_t', 'removal now_t'],
      'held emptied DROP DATABASE',
    ];
    const nameOf = ({ event, table, how }: Line) =>
      [event, table, how].filter((word) => word !== undefined).join(' ');
    const found = async () => (await linesOf('audit')).map(nameOf).toSorted();
    await until(async () => (await found()).length >= wanted.length, 'the end of now_t');
    expect(await found()).toEqual(wanted.toSorted());

    const file = await linesOf('audit');
    for (const line of file) {
      const fields: readonly string[] = AUDIT_EVENTS[line['event'] as AuditName].fields;
      expect(Object.keys(line)).toEqual(expect.arrayContaining(['event', 'at', ...fields]));
      expect([...fields, ...OF_ALL]).toEqual(expect.arrayContaining(Object.keys(line)));
      expect(line['at']).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
    }
    const byClient = file.filter(({ proxyId }) => proxyId === undefined);
    const who = { user: 'root', client: expect.stringMatching(/^127\.0\.0\.1:\d+$/), threadId: id };
    for (const line of byClient) expect(line).toMatchObject(who);
    const drops = file.filter(({ table }) => table === 'a' || table === 'b');
    expect(new Set(drops.map(({ dropId }) => dropId)).size).toBe(1);

    const logged = lines.filter(({ event }) => String(event) in AUDIT_EVENTS);
    expect(logged.map(nameOf).toSorted()).toEqual(wanted.toSorted());
    for (const { message, ...fields } of file) {
      expect(logged).toContainEqual(expect.objectContaining({ ...fields, msg: message }));
    }

    const kept = file.filter(({ event }) => AUDIT_EVENTS[event as AuditName].isKept);
    const rows = await until(
      async () => (await historyOf('id')).length >= kept.length,
      'rows',
    ).then(() => historyOf('event, id, drop_id, who, details, row_logged'));
    expect(rows).toHaveLength(kept.length);
    for (const { event, id, dropId, at: _at, message: _message, ...fields } of kept) {
      const of = rows.filter((row) => row['event'] === event && row['id'] === id);
      expect(of).toHaveLength(1);
      expect(of[0]).toMatchObject({ drop_id: dropId, row_logged: 1 });
      expect(JSON.parse(String(of[0]?.['details']))).toMatchObject({
        ...fields,
        // A schema's tables get their due time at its end.
        holdName: expect.any(String),
        ...('until' in fields ? { until: expect.any(String) } : {}),
      });
    }
    const nowT = String(file.find(({ table }) => table === 'now_t')?.['id']);
    const history = rows.filter(({ id: of }) => of === nowT);
    expect(history.map(({ event, who: by }) => [event, String(by).replace(/ .*/, '')])).toEqual([
      ['held', 'root'],
      ['transition', 'undrop'],
      ['removal', 'undrop'],
    ]);
    expect(JSON.parse(String(history[1]?.['details']))).toMatchObject({
      ...{ from: 'HOLD', to: 'DROP', table: 'now_t' },
    });
    // The removed one is old, and its history goes after it, while others stay.
    await query(
      server,
      'UPDATE _undrop.history SET at = at - INTERVAL 91 DAY',
      `UPDATE _undrop.ledger SET ended_at = ended_at - INTERVAL 91 DAY WHERE id = '${nowT}'`,
    );
    const ids = async () => (await historyOf('id')).map(({ id: of }) => of);
    await until(async () => !(await ids()).includes(nowT), 'its history is gone');
    expect(await ids()).toHaveLength(kept.length - 3);
  });

  test('a refused DROP DATABASE has no line of undrop’s own tables', async () => {
    const { lines } = await open({
      AUDIT_FILE: join(folder, 'audit'),
      COLLECT: 'on',
      FAST_DROP: 'always',
      CHECK_INTERVAL: '1s',
      RULES: '*.a: now',
    });
    const client = await clientWith('a', 'busy');
    const holder = await connect(server, { database: schema.name });
    await holder.query('LOCK TABLES busy WRITE');
    await client.query('SET lock_wait_timeout = 1');
    expect(await client.errnoOf(`DROP DATABASE ${schema.name}`)).toBe(1205);
    await holder.end();
    const barriers = `SELECT 1 FROM information_schema.TABLES
      WHERE (TABLE_SCHEMA = '${schema.name}' AND TABLE_NAME LIKE '!undrop%')
        OR (TABLE_SCHEMA LIKE '\\_undrop%' AND TABLE_NAME LIKE '\\_vt\\_DROP%')`;
    await until(async () => (await query(server, barriers)).length === 0, 'its barrier is gone');
    // What is removed after it has a line.
    await client.query('DROP TABLE a');
    await client.end();
    const removals = () => lines.filter(({ event }) => event === 'removal');
    await until(() => removals().length > 0, 'the removal of a table');
    expect(removals().map(({ table }) => table)).toEqual(['a']);
    const kept = await historyOf('event, details');
    for (const { details } of kept) expect(String(details)).toMatch(/"table":\s*"a"/);
  });

  test('neither a file nor a history that can not be written costs a drop; a reload opens it anew', async () => {
    const path = join(folder, 'later/audit');
    const { lines, kill } = await open({ AUDIT_FILE: path, WORKERS: '2' });
    const of = (event: string) => lines.filter((line) => line['event'] === event);
    // One for each process.
    await until(() => of('audit-file').length === 3, 'what is wrong with the file');
    expect(of('audit-file')[0]).toMatchObject({ level: 50, err: { code: 'ENOENT' } });
    await using client = await clientWith('a', 'b', 'c', 'd');
    const isInHistory = async (table: string) => {
      // Somebody drops it below.
      const rows = await historyOf('details').catch(() => []);
      return rows.some(({ details }) => String(details).includes(`"${table}"`));
    };
    await client.query('DROP TABLE a');
    await until(() => isInHistory('a'), 'the history of a');

    // Somebody drops it: it is made anew.
    await query(server, 'DROP TABLE _undrop.history');
    await client.query('DROP TABLE b');
    await until(() => isInHistory('b'), 'the history of b');

    await query(server, 'ALTER TABLE _undrop.history DROP COLUMN who');
    await client.query('DROP TABLE c');
    await until(() => of('history').length === 1, 'what is wrong with the history');
    expect(of('history')[0]).toMatchObject({ level: 40, err: { errno: 1054 } });
    expect(of('held').map(({ table }) => table)).toEqual(['a', 'b', 'c']);
    await query(server, 'DROP TABLE _undrop.history');

    await mkdir(join(folder, 'later'));
    await reloadBySignal({ lines, kill });
    await client.query('DROP TABLE d');
    const named = async () => (await linesOf('later/audit')).map(({ table }) => table);
    // The client has its answer a moment before.
    await until(async () => (await named()).length > 0, 'the line of d');
    expect(await named()).toEqual(['d']);
  });
});

const RIGHT = 'Righ7.Word';
const WRONG = 'Wr0ng.Word';
const OF_SERVICE = 'Serv1ce.Word';
const IN_TEXT = 'In4.Text';
const SECRETS = [RIGHT, WRONG, OF_SERVICE, IN_TEXT];

test.each(testServers())(
  'the log in front of $name names who was refused or held, and no secret of anybody (wire 19, 63)',
  async (server) => {
    await using schema = await freshSchema(server, 'log');
    const { name } = schema;
    const [user, service] = [`user_${name.slice(-8)}`, `svc_${name.slice(-8)}`];
    await query(
      server,
      ...['t', 'u'].map((table) => `CREATE TABLE ${name}.${table} (a INT) ENGINE=InnoDB`),
      ...[
        [user, RIGHT],
        [service, OF_SERVICE],
      ].flatMap(([who, password]) => [
        `CREATE USER ${who}@'%' IDENTIFIED BY '${password}'`,
        `GRANT ALL ON *.* TO ${who}@'%'`,
      ]),
    );
    const upstream = { ...server, user: service, password: OF_SERVICE };
    await using proxy = await spawnProxy(upstream, { LOG_LEVEL: 'debug' });
    try {
      const target = { ...proxy, user, password: RIGHT };
      for (const ssl of [{}, { ssl: { rejectUnauthorized: false } }]) {
        const wrong = connect({ ...target, password: WRONG }, ssl);
        await expect(wrong).rejects.toMatchObject({ errno: 1045 });
        await (await connect(target, ssl)).end();
      }
      await sayOutOfOrder(proxy, RIGHT);
      // On 5.6 mysql2 can't change the user, directly neither.
      const other = server.name === 'mysql-5.6' ? null : upstream;
      const threadId = await useIt(target, name, other);
      const users = other === null ? [user] : [user, other.user];
      await until(
        () => linesOf(proxy, 'event', 'held').length === users.length,
        'the drops in the log',
      );

      const who = { client: expect.stringMatching(/^127\.0\.0\.1:\d+$/), user, threadId };
      const refused = linesOf(proxy, 'code', 'UNDROP_RECYCLE_SCHEMA');
      expect(refused).toEqual([
        expect.objectContaining({ ...who, level: 40, statement: 'DROP TABLE _undrop.ledger' }),
      ]);
      expect(refused[0]?.['msg']).toMatch(/^Table _undrop\.ledger was not/);
      expect(linesOf(proxy, 'event', 'held')).toEqual(
        users.map((dropper) => {
          const holdName = expect.stringMatching(/^_vt_HOLD_/);
          return expect.objectContaining({ ...who, user: dropper, level: 30, holdName });
        }),
      );
      const recorded = `SELECT user_name AS who FROM _undrop.ledger WHERE schema_name = '${name}'`;
      const rows = await query<{ who: string }>(server, `${recorded} ORDER BY id`);
      expect(rows.map((row) => row.who)).toEqual(users);
    } finally {
      await query(server, `DROP USER ${user}@'%', ${service}@'%'`);
    }
    const log = JSON.stringify(proxy.lines);
    for (const secret of SECRETS) {
      const bytes = Buffer.from(secret);
      const forms = (['utf8', 'hex', 'base64'] as const).map((form) => bytes.toString(form));
      for (const form of [...forms, [...bytes].join(',')]) expect(log).not.toContain(form);
    }
  },
);

/** A statement that is refused, one that is held, and one of another user; its thread id. */
async function useIt(target: Target, schema: string, other: Target | null): Promise<number> {
  const client = await connect(target, { database: schema, multipleStatements: true });
  const { threadId } = client;
  await expect(
    client.query(`SET @p = '${IN_TEXT}'; DROP TABLE _undrop.ledger`),
  ).rejects.toMatchObject({ errno: 1142 });
  await client.query('DROP TABLE t');
  if (other !== null) {
    const { user, password } = other;
    await client.changeUser({ user, password, database: schema });
    await client.query('DROP TABLE u');
    const denied = client.changeUser({ user, password: WRONG });
    await expect(denied).rejects.toMatchObject({ errno: 1045 });
  }
  client.destroy();
  return threadId;
}

/** A login that is malformed, with the password where it should never be. */
async function sayOutOfOrder({ host, port }: Target, password: string): Promise<void> {
  const peer = new Peer(net.connect(port, host));
  await peer.packet();
  peer.send(frame(Buffer.from(`${password}\0`.repeat(10)), 7));
  await peer.packet();
  peer.destroy();
}

function linesOf({ lines }: ProxyProcess, field: string, value: string) {
  return lines.filter((line) => line[field] === value);
}
