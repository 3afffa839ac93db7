/**
 * Sessions between a fake client and a fake server on real sockets: refusing and ending. What they
 * relay is compared on real servers, in server/client-pipelining and server/differential.
 */
import { type Log, silentLog } from '../../src/log.js';
import { encodePacket } from '../../src/wire/framing.js';
import { exchange } from '../support/conversation.js';
import type { Bench, BenchOptions, Connected } from '../support/session-bench.js';
import {
  answerMarker,
  arrives,
  endListener,
  errorTo,
  GREETING,
  logIn,
  OK,
  openBench,
  PING,
  passes,
  queryPacket,
  RESPONSE,
  serverIsExcused,
  serverRefuses,
  useWay,
  WAYS,
} from '../support/session-bench.js';

let bench: Bench | null = null;

/** What is warned of. */
function warningLog(): { readonly said: readonly string[]; readonly log: Log } {
  const said: string[] = [];
  const warn = (_fields: object, message: string) => said.push(message);
  return { said, log: { ...silentLog, warn } };
}

async function open(options: BenchOptions = {}): Promise<Bench> {
  bench = await openBench(options);
  return bench;
}

async function drainFor(timeoutMs: number, signal = new AbortController().signal): Promise<void> {
  if (bench === null) throw new Error('nothing is open');
  await endListener(bench.listener, { timeoutMs, signal });
}

afterEach(async () => {
  await bench?.close();
  bench = null;
});

const NAME = 'mysql-9.7/deprecate-eof';

/** Client and server, with the greeting passed on. */
async function greeted(options: BenchOptions = {}): Promise<Connected> {
  const { client, server } = await reached(options);
  await arrives(server, client, GREETING);
  return { client, server };
}

/** Client and server, with nothing said. */
async function reached(options: BenchOptions = {}): Promise<Connected> {
  const opened = await open(options);
  return { client: await opened.client(), server: await opened.accepted() };
}

const UNKNOWN = encodePacket(Buffer.from('7f', 'hex'), 0);
const AUTH_SWITCH = encodePacket(Buffer.from('\xfecaching_sha2_password\0nonce\0', 'latin1'), 2);

/** Both sides are over, and the listener has forgotten the session. */
async function bothEnd({ client, server }: Connected, sessionsTotal = 1): Promise<void> {
  await Promise.all([client.ended(), server.ended()]);
  await client.until('forgotten', () => bench?.listener.openSessions === 0);
  expect(bench?.counters).toMatchObject({ sessionsTotal, sessionsOpen: 0 });
}

/** The client ends; the server hears of a login that it refuses. */
async function isExcused({ client, server }: Connected): Promise<void> {
  client.end();
  await serverIsExcused(server);
  await bothEnd({ client, server });
}

describe.each(WAYS)('sessions by %s', (way) => {
  beforeAll(() => useWay(way));

  describe('a command that is refused', () => {
    test('is answered behind what is under way, and before what follows (wire 11)', async () => {
      const { client, server } = await logIn(await open());
      client.send(PING, UNKNOWN, PING, queryPacket('SELECT 1'));
      await server.take(PING.length);
      server.send(OK);
      await answerMarker(server);
      expect((await client.take(OK.length)).equals(OK)).toBe(true);
      expect(await errorTo(client)).toEqual({
        errno: 1047,
        sqlState: '08S01',
        sequenceId: 1,
        text: expect.stringMatching(/^UNDROP_UNKNOWN_COMMAND: Unknown command 0x7f/),
      });
      const rest = Buffer.concat([PING, queryPacket('SELECT 1')]);
      expect((await server.take(rest.length)).equals(rest)).toBe(true);
      await passes(server, client, OK);
      expect(bench?.counters.audited).toEqual({ 'refused|UNDROP_UNKNOWN_COMMAND': 1 });
    });

    test('a prepared CREATE OR REPLACE: nothing of it reaches the server (wire 3, 5)', async () => {
      const { client, server } = await logIn(await open(), 'mariadb-11.8/eof');
      client.send(encodePacket(Buffer.from('\x16CREATE OR REPLACE DATABASE shop'), 0), PING);
      await answerMarker(server);
      // The PREPARE that fails behind it.
      await answerMarker(server);
      const { text: said, errno, sequenceId } = await errorTo(client);
      expect(said).toMatch(
        /Schema shop and its tables were not dropped, and nothing of the statement was executed: .* by a prepared CREATE OR REPLACE/,
      );
      expect([errno, sequenceId]).toEqual([1235, 1]);
      expect((await server.take(PING.length)).equals(PING)).toBe(true);
      expect(server.received).toHaveLength(0);
    });

    test('malformed query attributes end the session (wire 4)', async () => {
      const { client, server } = await logIn(await open(), 'mysql-9.7/attributes');
      client.send(encodePacket(Buffer.from('\x03\x01\x02DROP TABLE t'), 0));
      expect(await errorTo(client)).toMatchObject({ errno: 1835 });
      await bothEnd({ client, server });
      expect(server.received).toHaveLength(0);
    });

    test('a server that goes while it is refused takes the client along', async () => {
      const connected = await logIn(await open());
      connected.client.send(UNKNOWN);
      await connected.server.packet();
      connected.server.end();
      await bothEnd(connected);
    });

    test('a client that goes while it is refused takes the server along', async () => {
      const connected = await logIn(await open());
      connected.client.send(UNKNOWN);
      await connected.server.until('a marker', () => connected.server.received.length > 0);
      connected.client.end();
      await answerMarker(connected.server);
      await connected.server.ended();
      connected.server.end();
      await bothEnd(connected);
      expect(connected.client.received.includes('UNDROP_UNKNOWN_COMMAND')).toBe(true);
    });
  });

  test('a client too many is told so in the shape that fits there, and comes in when another has gone (wire 53)', async () => {
    const opened = await open({ connectionsMax: 1 });
    const first = await logIn(opened);
    const client = await opened.client();
    const error = await errorTo(client);
    expect(error).toMatchObject({ errno: 1040, sqlState: '', sequenceId: 0 });
    expect(error.text).toMatch(
      /^UNDROP_TOO_MANY_CONNECTIONS: Too many connections: a worker of undrop accepts 1 at a time\./,
    );
    await client.ended();
    client.end();
    const counted = { sessionsOpen: 1, sessionsTotal: 1, sessionsRefused: 1 };
    expect(opened.counters).toMatchObject(counted);
    first.client.end();
    await first.server.ended();
    first.server.end();
    await bothEnd(first);
    await logIn(opened);
  });

  describe('a login that is refused', () => {
    const outOfOrder = Buffer.from(RESPONSE);
    outOfOrder[3] = 7;
    const old = encodePacket(Buffer.from('85a60300000001root\0', 'latin1'), 1);
    const cutShort = encodePacket(RESPONSE.subarray(4, 40), 1);
    test.each([
      ['a client before 4.1', old, /^UNDROP_OLD_CLIENT: /, 1043],
      ['a response without its end', cutShort, /^UNDROP_MALFORMED_PACKET: /, 1835],
      ['a response out of order', outOfOrder, /expected sequence id 1 in the login, got 7/, 1835],
    ])('%s', async (_name, sent, words, errno) => {
      const connected = await greeted();
      connected.client.send(sent);
      const error = await errorTo(connected.client);
      expect(error).toMatchObject({ errno, sequenceId: (sent[3] ?? 0) + 1 });
      expect(error.text).toMatch(words);
      await isExcused(connected);
    });

    test('a client that is silent after the greeting', async () => {
      const connected = await greeted({ loginTimeoutMs: 50 });
      const error = await errorTo(connected.client);
      expect(error).toMatchObject({ errno: 1159, sqlState: '08S01', sequenceId: 1 });
      expect(error.text).toMatch(/^UNDROP_LOGIN_TIMEOUT: .* did not answer within 50 ms/);
      await isExcused(connected);
    });

    test('a client that trickles its response (wire 31)', async () => {
      const connected = await greeted({ loginTimeoutMs: 50 });
      for (let at = 0; at < RESPONSE.length - 1 && !connected.client.isEnded; at++) {
        connected.client.send(RESPONSE.subarray(at, at + 1));
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      expect(await errorTo(connected.client)).toMatchObject({ errno: 1159 });
      await isExcused(connected);
    });

    test('a client that is silent when the server asks back', async () => {
      const { client, server } = await greeted({ loginTimeoutMs: 50 });
      await passes(client, server, RESPONSE);
      await passes(server, client, AUTH_SWITCH);
      expect(await errorTo(client)).toMatchObject({ errno: 1159, sequenceId: 3 });
      client.end();
      expect((await server.packet()).toString('hex')).toBe('00000003');
      await serverRefuses(server, 4);
      await bothEnd({ client, server });
    });
  });

  describe('answers that can’t be followed', () => {
    /** A statement that is refused is answered once, in sequence, and nothing of it goes on. */
    async function refuses({ client, server }: Connected): Promise<void> {
      client.send(encodePacket(Buffer.from('\x06shop'), 0), PING);
      await answerMarker(server);
      expect(await errorTo(client)).toMatchObject({ errno: 1047, sequenceId: 1 });
      expect((await server.take(PING.length)).equals(PING)).toBe(true);
      await passes(server, client, OK);
    }

    test('a packet that nobody asked for is passed on, and the session works on (wire 18)', async () => {
      const { client, server } = await logIn(await open());
      await passes(server, client, OK);
      await passes(client, server, PING);
      await passes(server, client, OK);
      await refuses({ client, server });
    });

    test('the session ends when a drain is over, not before (wire 18)', async () => {
      const { client, server } = await logIn(await open());
      await passes(server, client, OK);
      const hurry = new AbortController();
      const draining = drainFor(60_000, hurry.signal);
      await passes(client, server, PING);
      await passes(server, client, OK);
      expect(client.isEnded).toBe(false);
      hurry.abort();
      await draining;
      await client.ended();
    });

    test('EOF packets where they are deprecated, as of a query cache, are survived (wire 47)', async () => {
      // What MySQL 5.7 has kept for a client with EOF packets it also says to one without.
      const title = 'one row of two columns, one of them NULL';
      const { answer } = exchange('mysql-9.7/eof', title);
      const { client, server } = await logIn(await open());
      for (let times = 0; times < 3; times++) {
        await passes(client, server, queryPacket('SELECT 1'));
        await passes(server, client, answer);
      }
      await passes(client, server, PING);
      await passes(server, client, OK);
      await refuses({ client, server });
    });
  });

  describe('a server that', () => {
    const asked = async () => {
      const connected = await logIn(await open());
      await passes(connected.client, connected.server, queryPacket('SELECT id'));
      return connected;
    };
    const rows = exchange(NAME, 'more rows than sequence ids').answer;
    const tooMany = exchange('mysql-9.7/too-many', 'a connection too many').answer;
    test.each([
      ['refuses before its greeting', reached, tooMany],
      [
        'says goodbye to an idle session',
        async () => logIn(await open()),
        exchange('mysql-9.7/goodbye', 'an ERR that nobody asked for').answer,
      ],
      ['ends in the middle of a result', asked, rows.subarray(0, rows.length >> 1)],
    ])('%s has its words passed on (wire 32, 46, 52)', async (_what, begin, sent) => {
      const { client, server } = await begin();
      server.send(sent);
      server.end();
      expect((await client.take(sent.length)).equals(sent)).toBe(true);
      client.end();
      await bothEnd({ client, server });
      expect(client.received).toHaveLength(0);
    });

    test.each(['end', 'destroy'] as const)('goes by %s ends the client (wire 52)', async (go) => {
      const connected = go === 'end' ? await greeted() : await logIn(await open());
      if (go === 'end') await passes(connected.client, connected.server, RESPONSE);
      connected.server[go]();
      await connected.client.ended();
      connected.client.end();
      await bothEnd(connected);
    });

    test('goes before its greeting is told of, in the shape that fits there (wire 54)', async () => {
      const warnings: [object, string][] = [];
      const warn = (fields: object, message: string) => warnings.push([fields, message]);
      const { client, server } = await reached({ log: { ...silentLog, warn } });
      server.end();
      const error = await errorTo(client);
      expect(error).toMatchObject({ errno: 1053, sqlState: '', sequenceId: 0 });
      // Anybody may be told: what is where, and why it fails, is for the log.
      const words =
        /^UNDROP_UPSTREAM_UNREACHABLE: The server could not be reached; the log of undrop says why \(reference ([0-9a-f]{12})\)\.$/;
      const [, reference] = words.exec(error.text) ?? [error.text];
      expect(warnings).toEqual([
        [
          expect.objectContaining({ reference }),
          expect.stringMatching(/^The server at 127\.0\.0\.1:\d+ could not be reached: it closed/),
        ],
      ]);
      client.end();
      await bothEnd({ client, server });
    });

    test('says nothing is given up (wire 54)', async () => {
      const { said, log } = warningLog();
      const { client, server } = await reached({ greetingTimeoutMs: 50, log });
      const error = await errorTo(client);
      expect(error).toMatchObject({ errno: 1053, sqlState: '', sequenceId: 0 });
      expect(said[0]).toMatch(/no greeting within 50 ms/);
      client.end();
      // It was only slow, and finds nobody: that is no reason to block our address.
      server.send(GREETING);
      await serverIsExcused(server);
      await bothEnd({ client, server });
    });

    test('is no MySQL server is told of', async () => {
      const { client, server } = await reached();
      server.send(Buffer.from('SSH-2.0-OpenSSH_9.2\r\n'));
      const error = await errorTo(client);
      expect(error.sqlState).toBe('');
      expect(error.text).toMatch(/^UNDROP_(PACKET_TOO_LARGE|MALFORMED_PACKET): /);
      client.end();
      await bothEnd({ client, server });
    });
  });

  describe('a client that', () => {
    test.each(['end', 'destroy'] as const)(
      'goes at the greeting (%s) leaves as a refused login, not as a broken handshake (wire 33, 51)',
      async (way) => {
        const connected = await greeted();
        connected.client[way]();
        await serverIsExcused(connected.server);
        await bothEnd(connected);
      },
    );

    test('goes before the greeting is excused when it comes (wire 33)', async () => {
      const opened = await open();
      const client = await opened.client();
      const server = await opened.accepted();
      client.end();
      // Another client's turn of events: by then the proxy has seen that this one is gone.
      const other = await opened.client();
      const otherServer = await opened.accepted();
      await arrives(otherServer, other, GREETING);
      server.send(GREETING);
      await serverIsExcused(server);
      other.end();
      await serverIsExcused(otherServer);
      await bothEnd({ client, server }, 2);
      // The server was reached.
      expect(opened.counters).toMatchObject({ loginsUnreached: 0, loginsFailed: 2 });
    });

    test('sends no more has all that it asked for answered, what is ours too (wire 46)', async () => {
      const opened = await open();
      const connected = await logIn(opened);
      const { client, server } = connected;
      const select = queryPacket('SELECT 1');
      client.send(UNKNOWN, UNKNOWN, select);
      client.end();
      // Another client's turn of events: by then the proxy has seen the end of this one.
      const other = await logIn(opened);
      for (let time = 0; time < 2; time++) {
        await answerMarker(server);
        expect((await errorTo(client)).errno).toBe(1047);
      }
      expect((await server.take(select.length)).equals(select)).toBe(true);
      await server.ended();
      await passes(server, client, OK);
      server.end();
      other.client.end();
      other.server.end();
      await bothEnd(connected, 2);
    });

    test('speaks before the greeting is heard behind it', async () => {
      const { client, server } = await reached();
      client.send(RESPONSE);
      await arrives(server, client, GREETING);
      expect((await server.take(RESPONSE.length)).equals(RESPONSE)).toBe(true);
      client.end();
      server.end();
      await bothEnd({ client, server });
    });

    test('says more than a login before the greeting is told so, and excused', async () => {
      const { client, server } = await reached();
      client.send(Buffer.alloc(5_000));
      expect(await errorTo(client)).toMatchObject({ errno: 1835, sqlState: '', sequenceId: 0 });
      client.end();
      server.send(GREETING);
      await serverIsExcused(server);
      await bothEnd({ client, server });
    });

    test('goes during the login is excused, whatever the server goes on to ask (wire 33)', async () => {
      const { client, server } = await greeted();
      await passes(client, server, RESPONSE);
      client.end();
      await client.ended();
      server.send(AUTH_SWITCH);
      expect((await server.packet()).toString('hex')).toBe('00000003');
      server.send(encodePacket(Buffer.from('0104', 'hex'), 4));
      expect((await server.packet()).toString('hex')).toBe('00000005');
      await serverRefuses(server, 6);
      await bothEnd({ client, server });
    });

    test('goes when the server has let it in says goodbye', async () => {
      const { client, server } = await greeted();
      await passes(client, server, RESPONSE);
      client.end();
      await client.ended();
      server.send(encodePacket(Buffer.from('0103', 'hex'), 2));
      server.send(encodePacket(Buffer.from('00000002000000', 'hex'), 3));
      expect((await server.packet()).toString('hex')).toBe('0100000001');
      await server.ended();
      server.end();
      await bothEnd({ client, server });
    });

    test('breaks off in the middle of a result ends the server session (wire 51)', async () => {
      const connected = await logIn(await open());
      await passes(connected.client, connected.server, queryPacket('SELECT id'));
      connected.server.send(exchange(NAME, 'more rows than sequence ids').answer.subarray(0, 500));
      connected.client.destroy();
      await connected.server.ended();
      connected.server.end();
      await bothEnd(connected);
    });
  });

  test('a drain tells a client that is still logging in', async () => {
    const connected = await greeted();
    const draining = drainFor(10_000);
    expect(await errorTo(connected.client)).toMatchObject({ errno: 1053, sqlState: '08S01' });
    await draining;
  });
});
