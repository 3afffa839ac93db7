/**
 * Clients that don't wait: commands with a drop among them, behind a PREPARE that is refused, and
 * behind the login; and logins that come before the greeting, as HAProxy's `option mysql-check user
 * …` sends them. What a client receives is, byte for byte, what the server would have sent.
 */
import { once } from 'node:events';
import net from 'node:net';
import * as com from '../../src/wire/commands.js';
import { cut, packetsIn } from '../support/chunks.js';
import { heldRows } from '../support/client-held.js';
import { conversations, exchange } from '../support/conversation.js';
import { onServers } from '../support/on-servers.js';
import { frame } from '../support/raw-client.js';
import { recordedAs } from '../support/server-set.js';
import type { Target, TestServer } from '../support/servers.js';
import { freshSchema, generalLog, query } from '../support/servers.js';
import { Peer } from '../support/session-bench.js';

/** Capabilities of the captured logins that are tried, where a server has them. */
const VARIANTS = ['eof', 'deprecate-eof', 'track', 'attributes', 'optional', 'cached'];

onServers('clients that pipeline, on $name', (server, on) => {
  const { beforeEach, test } = on;
  let schema = '';
  const proxy = on.proxy({ NOTE: 'off' });
  // Known, so that the server doesn't ask for another plugin before it says no.
  on.account('toor', { password: 'x' });
  beforeEach(async () => {
    schema = on.each.keep(await freshSchema(server, 'pipe')).name;
    await fill();
  });

  /** As it is before a run; the second run finds what the first one found. */
  async function fill(): Promise<void> {
    await query(
      server,
      `USE ${schema}`,
      `DROP TABLE IF EXISTS a, b, c, n`,
      ...['a', 'b', 'c', 'n'].map((table) => `CREATE TABLE ${table} (id INT PRIMARY KEY)`),
      'INSERT INTO a VALUES (1), (2), (3)',
      'INSERT INTO b VALUES (1)',
      `INSERT INTO n VALUES ${Array.from({ length: 300 }, (_, row) => `(${row})`).join(', ')}`,
    );
  }

  async function onBoth<T>(run: (target: Target) => Promise<T>): Promise<readonly [T, T]> {
    const direct = await run(server);
    await fill();
    return [direct, await run(proxy)];
  }

  /**
   * Logs in as a captured client did, with `pipelined` in the same write; sends `writes`; hands
   * back what the server said behind its greeting, to its end.
   */
  async function talk(
    target: Target,
    variant: string,
    writes: readonly Buffer[],
    pipelined: Buffer = Buffer.alloc(0),
    user = 'root',
  ): Promise<Buffer> {
    const peer = new Peer(net.connect({ host: target.host, port: target.port, noDelay: true }));
    await peer.packet();
    const [, response] = exchange(`${recordedAs(server.name)}/${variant}`, 'login').spoken;
    const login = response?.packet.toString('latin1').replace('root\0', `${user}\0`) ?? '';
    peer.send(Buffer.from(login, 'latin1'), pipelined);
    if (pipelined.length === 0) await peer.packet();
    for (const bytes of writes) peer.send(bytes);
    await peer.ended();
    const { received } = peer;
    peer.destroy();
    return received;
  }

  test.each(variantsOf(server))(
    '[11] a drop among pipelined commands is answered at its turn (%s) (wire 11)',
    async (variant) => {
      const text = queryOf(variant);
      const commands = [
        command(com.COM_INIT_DB, schema),
        text('SELECT 1 AS one'),
        command(com.COM_PING),
        text('SELECT * FROM missing'),
        text('SELECT id FROM n ORDER BY id'),
        text('DROP TABLE a'),
        text('SELECT * FROM a'),
        text('DROP TABLE IF EXISTS missing'),
        text('SHOW WARNINGS'),
        text('BEGIN'),
        text('INSERT INTO n VALUES (1000)'),
        text('DROP TABLE missing'),
        command(com.COM_PING),
        text('DROP TABLE b, c'),
        text('SHOW TABLES'),
        text('SELECT 2 AS two'),
        command(com.COM_QUIT),
      ];
      // In one write; and in writes that end in the middle of packets, and of their headers.
      const [direct, through] = await onBoth((target) =>
        talk(target, variant, [Buffer.concat(commands)]),
      );
      expect(packets(through)).toEqual(packets(direct));
      const [, parted] = await onBoth((target) =>
        talk(target, variant, cut(Buffer.concat(commands), [7])),
      );
      expect(packets(parted)).toEqual(packets(direct));
      expect(direct.includes('two')).toBe(true);
      expect(await heldRows(server, schema)).toEqual({ a: 3, b: 1, c: 0 });
    },
  );

  test('[12] an EXECUTE behind a PREPARE that is refused executes nothing (wire 12)', async () => {
    const log = await generalLog(server);
    const lastPrepared = Buffer.from([0xff, 0xff, 0xff, 0xff, 0, 1, 0, 0, 0]);
    const answer = await talk(proxy, 'eof', [
      Buffer.concat([
        command(com.COM_INIT_DB, schema),
        command(com.COM_STMT_PREPARE, 'DELETE FROM _undrop.ledger'),
        command(com.COM_STMT_EXECUTE, lastPrepared),
        queryOf('eof')('SELECT 2 AS two'),
        command(com.COM_QUIT),
      ]),
    ]);
    const logged = await log.read();
    await log.stop();
    const [initDb, prepare, execute, ...rest] = packets(answer);
    expect(initDb?.slice(6, 10)).toBe('0100');
    // Sequence id 1 and an ERR, each.
    for (const one of [prepare, execute]) expect(one?.slice(6, 10)).toBe('01ff');
    expect(Buffer.from(prepare ?? '', 'hex').toString()).toContain('UNDROP');
    expect(Buffer.from(execute ?? '', 'hex').readUInt16LE(5)).toBe(1243);
    expect(rest.join('')).toContain(Buffer.from('two').toString('hex'));
    const dropping = logged.filter(
      ({ command: kind, text }) => /Query|Execute/.test(kind) && /^\s*DROP\b/i.test(text),
    );
    expect(dropping).toEqual([]);
    expect(await query(server, `SELECT COUNT(*) AS n FROM ${schema}.a`)).toEqual([{ n: 3 }]);
  });

  test.each(variantsOf(server).slice(0, 2))(
    '[29] a query sent with the login is answered behind it (%s) (wire 29)',
    async (variant) => {
      const text = queryOf(variant);
      const commands = [text('SELECT 1 AS one'), text(`DROP TABLE ${schema}.a`), text('DO 1')];
      const [direct, through] = await onBoth((target) =>
        talk(target, variant, [], Buffer.concat([...commands, command(com.COM_QUIT)])),
      );
      expect(packets(through)).toEqual(packets(direct));
      expect(direct.includes('one')).toBe(true);
      expect(await heldRows(server, schema)).toEqual({ a: 3 });
    },
  );

  test('[29] a query sent with a login that is denied is dropped (wire 29)', async () => {
    const text = queryOf('eof');
    const commands = [text(`DROP TABLE ${schema}.a`), text(`DROP DATABASE ${schema}`)];
    const [direct, through] = await onBoth((target) =>
      talk(target, 'eof', [], Buffer.concat(commands), 'toor'),
    );
    expect(packets(through)).toEqual(packets(direct));
    expect(direct.toString('latin1')).toContain("Access denied for user 'toor'@");
    expect(await query(server, `SELECT COUNT(*) AS n FROM ${schema}.a`)).toEqual([{ n: 3 }]);
    expect(await heldRows(server, schema)).toEqual({});
  });
});

function variantsOf(server: TestServer): readonly string[] {
  const names = conversations().map(({ name }) => name);
  return VARIANTS.filter((variant) => names.includes(`${recordedAs(server.name)}/${variant}`));
}

/** How a client with the capabilities of `variant` sends a statement. */
function queryOf(variant: string): (text: string) => Buffer {
  const attributes = variant === 'attributes' ? Buffer.from([0, 1]) : Buffer.alloc(0);
  return (text) => command(com.COM_QUERY, Buffer.concat([attributes, Buffer.from(text)]));
}

function command(byte: number, rest: string | Buffer = ''): Buffer {
  return frame(Buffer.concat([Buffer.from([byte]), Buffer.from(rest)]), 0);
}

/** Each packet in hex. */
function packets(bytes: Buffer): readonly string[] {
  return packetsIn(bytes).map((packet) => packet.toString('hex'));
}

const QUIT = command(com.COM_QUIT);

/** As HAProxy composes it. */
function checkOf(user: string): Buffer {
  const head = Buffer.concat([Buffer.from('008200000080000121', 'hex'), Buffer.alloc(23)]);
  return frame(Buffer.concat([head, Buffer.from(user), Buffer.of(0, 0)]), 1);
}

/** First bytes and error numbers of all packets until the end. */
async function heard({ host, port }: Target, bytes: Buffer): Promise<readonly string[]> {
  const socket = net.connect({ host, port });
  socket.write(bytes);
  const chunks: Buffer[] = [];
  socket.on('data', (chunk) => chunks.push(chunk));
  socket.on('error', () => undefined);
  await once(socket, 'close');
  return packetsIn(Buffer.concat(chunks)).map((packet) => {
    const isErr = packet[4] === 0xff;
    return `${packet[3]} ${packet[4]}${isErr ? ` ${packet.readUInt16LE(5)}` : ''}`;
  });
}

onServers('a login that comes before the greeting, on $name', (server, on) => {
  const { testOnEach: test } = on;
  const user = 'haproxy_check';
  const isModern = server.name === 'mysql-9.7';

  on.account(user);
  const proxy = on.proxy();

  test('is answered as by the server', async () => {
    // A server that refuses leaves a QUIT unread, and what it closes then may lose its last words.
    const check = isModern ? checkOf(user) : Buffer.concat([checkOf(user), QUIT]);
    const direct = await heard(server, check);
    expect(await heard(proxy, check)).toEqual(direct);
    if (!isModern) expect(direct).toEqual(['0 10', '2 0']);
  });
});
