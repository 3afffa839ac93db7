/** The connection phase, played with the logins of four real servers, in every cut. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { type Login, LoginRelay } from '../../../src/session/login/login.js';
import { PLAIN } from '../../../src/session/login/login-check.js';
import * as caps from '../../../src/wire/capabilities.js';
import { decodeHandshakeV10 } from '../../../src/wire/connection/handshake-v10.js';
import { encodePacket } from '../../../src/wire/framing.js';
import { MalformedPacketError } from '../../../src/wire/packet-reader.js';
import { everySplit, lend, singleBytes } from '../../support/chunks.js';
import type { Exchange } from '../../support/conversation.js';
import { conversation, conversations, exchange, payload } from '../../support/conversation.js';
import { refusal } from '../../support/refusal.js';

class Played {
  readonly toClient: Buffer[] = [];
  readonly toServer: Buffer[] = [];
  login: Login | null = null;
  rest: { readonly fromServer: Buffer; readonly fromClient: Buffer } = {
    fromServer: Buffer.alloc(0),
    fromClient: Buffer.alloc(0),
  };
  readonly relay = new LoginRelay({
    security: PLAIN,
    secureClient: () => undefined,
    secureServer: () => undefined,
    connections: {
      toClient: (bytes) => this.toClient.push(Buffer.from(bytes)),
      toServer: (bytes) => this.toServer.push(Buffer.from(bytes)),
    },
    onDone: (login, rest) => {
      this.login = login;
      this.rest = rest;
    },
  });

  play(spoken: Exchange['spoken'], chunksOf: (packet: Buffer) => readonly Buffer[]): this {
    for (const { by, packet } of spoken) {
      for (const chunk of chunksOf(packet)) {
        lend(chunk, (memory) => {
          if (by === 'server') this.relay.feedServer(memory);
          else this.relay.feedClient(memory);
        });
      }
    }
    return this;
  }

  get clientGot(): Buffer {
    return Buffer.concat(this.toClient);
  }

  get serverGot(): Buffer {
    return Buffer.concat(this.toServer);
  }
}

const whole = (packet: Buffer) => [packet];

function loginOf(name: string): Exchange {
  return exchange(name, 'login');
}

/** Bytes of one side, but for the four that may hold capabilities from `at` on. */
function without(bytes: Buffer, ...ranges: readonly (readonly [number, number])[]): string {
  const copy = Buffer.from(bytes);
  for (const [at, length] of ranges) copy.fill(0, at, at + length);
  return copy.toString('hex');
}

const logins = conversations().flatMap(({ name, login }) =>
  login === null ? [] : [{ name, login }],
);

describe.each(logins)('the login of $name', ({ name, login }) => {
  const of = (by: 'client' | 'server') =>
    Buffer.concat(login.spoken.filter((one) => one.by === by).map(({ packet }) => packet));
  const greeting = decodeHandshakeV10(payload(login.spoken[0]?.packet ?? Buffer.alloc(0)));
  const masks = [
    [4 + greeting.lowOffset, 2],
    [4 + greeting.highOffset, 2],
    [4 + greeting.mariadbOffset, 4],
  ] as const;
  const isDenied = name.endsWith('/login-denied');

  test.each([
    ['whole packets', whole],
    ['single bytes', singleBytes],
  ])('goes through in %s with nothing changed but capabilities', (_way, chunksOf) => {
    const played = new Played().play(login.spoken, chunksOf);
    expect(without(played.clientGot, ...masks)).toBe(without(of('server'), ...masks));
    expect(without(played.serverGot, [4, 4], [32, 4])).toBe(without(of('client'), [4, 4], [32, 4]));
    expect(played.login === null).toBe(isDenied);
    expect(played.relay.state).toBe(isDenied ? 'authentication' : 'done');
  });

  test('settles what both sides have', () => {
    const { login: settled } = new Played().play(login.spoken, whole);
    if (isDenied) return expect(settled).toBeNull();
    const { agreed } = conversation(name);
    const wanted = caps.relayedCapabilities(agreed);
    expect(settled?.capabilities).toEqual(wanted);
    expect(settled?.threadId).toBe(greeting.threadId);
    expect(settled?.user).toBe(name.includes('/login') ? 'pass' : 'root');
    expect(settled?.schema).toBeNull();
    // Both connections are as open as each other: whoever changes the user is not read.
    expect(settled?.bridge).toBeNull();
  });
});

describe('what comes ahead of the OK', () => {
  const { spoken } = loginOf('mysql-9.7/login');
  const [greeting, response, ...rounds] = spoken;
  const ping = encodePacket(Buffer.from([0x0e]), 0);
  const query = encodePacket(Buffer.from('\x03SET autocommit=1'), 0);

  const packetOf = (one: Exchange['spoken'][number] | undefined) => one?.packet ?? Buffer.alloc(0);

  test('of the client waits for it, and comes out behind it in order (wire 29)', () => {
    const ahead = Buffer.concat([packetOf(response), ping, query]);
    for (const chunks of [...everySplit(ahead), singleBytes(ahead)]) {
      const played = new Played();
      played.relay.feedServer(packetOf(greeting));
      for (const chunk of chunks) lend(chunk, (memory) => played.relay.feedClient(memory));
      expect(played.serverGot).toHaveLength(packetOf(response).length);
      played.play(rounds, whole);
      expect(played.login?.user).toBe('pass');
      expect(played.rest.fromClient.equals(Buffer.concat([ping, query]))).toBe(true);
      expect(played.serverGot.includes('autocommit')).toBe(false);
    }
  });

  test('of half a command too', () => {
    const played = new Played().play([...spoken.slice(0, 2)], whole);
    played.relay.feedClient(query.subarray(0, 7));
    played.play(
      rounds.filter(({ by }) => by === 'server'),
      whole,
    );
    expect(played.rest.fromClient.equals(query.subarray(0, 7))).toBe(true);
  });

  test('what the server sends behind its OK is handed over', () => {
    const played = new Played().play(spoken.slice(0, -1), whole);
    const goodbye = exchange('mysql-9.7/goodbye', 'an ERR that nobody asked for').answer;
    played.relay.feedServer(Buffer.concat([packetOf(spoken.at(-1)), goodbye]));
    expect(played.rest.fromServer.equals(goodbye)).toBe(true);
  });

  test('is not sent on where the login is denied (wire 29)', () => {
    const denied = loginOf('mysql-5.6/login-denied');
    const played = new Played().play(denied.spoken.slice(0, 2), whole);
    played.relay.feedClient(query);
    played.play(denied.spoken.slice(2), whole);
    expect(played.login).toBeNull();
    expect(played.serverGot.includes('autocommit')).toBe(false);
    expect(decodedErrno(played.toClient.at(-1))).toBe(1045);
  });

  test.each([1_000_000, 48 * 1024])(
    'costs at most 128 KiB before it is done, whatever is sent (a packet of %i)',
    (packetBytes) => {
      const header = Buffer.of(0, 0, 0, 3);
      header.writeUIntLE(packetBytes, 0, 3);
      // Commands ahead of the OK, and then a packet that never ends.
      const sent = [encodePacket(Buffer.alloc(30_000, 3), 0), header];
      for (let left = packetBytes - 1_000; left > 0; left -= 1_000) sent.push(Buffer.alloc(1_000));
      const kept: Played[] = [];
      const before = bytesInUse();
      // So many that what the test run itself reads meanwhile does not count.
      for (let count = 0; count < 200; count++) {
        const played = new Played().play(spoken.slice(0, 2), whole);
        kept.push(played);
        try {
          for (const piece of sent) played.relay.feedClient(piece);
        } catch (error) {
          expect(error).toMatchObject({ code: 'UNDROP_PACKET_TOO_LARGE' });
        }
      }
      const bytes = (bytesInUse() - before) / kept.length;
      expect(bytes).toBeLessThan(128 * 1024);
    },
  );

  test('is bounded', () => {
    const played = new Played().play(spoken.slice(0, 2), whole);
    const flood = () => {
      for (let count = 0; count < 100; count++) {
        played.relay.feedClient(encodePacket(Buffer.alloc(20_000, 3), 0));
      }
    };
    expect(refusal(flood)?.code).toBe('UNDROP_PACKET_TOO_LARGE');
  });
});

/** Of buffers, without what nobody holds any more. */
function bytesInUse(): number {
  setFlagsFromString('--expose-gc');
  const collectGarbage = runInNewContext('gc') as () => void;
  collectGarbage();
  return process.memoryUsage().arrayBuffers;
}

function decodedErrno(framed: Buffer | undefined): number {
  return framed?.[4] === 0xff ? framed.readUInt16LE(5) : 0;
}

describe('a client is refused', () => {
  test('that speaks before the greeting', () => {
    const early = () => new Played().relay.feedClient(Buffer.from('GET / HTTP/1.1\r\n'));
    expect(early).toThrow(MalformedPacketError);
  });

  test('whose response says that it is enormous, before it comes (wire 31)', () => {
    const played = new Played().play(loginOf('mysql-9.7/eof').spoken.slice(0, 1), whole);
    const header = Buffer.from('01001001', 'hex');
    expect(refusal(() => played.relay.feedClient(header))?.code).toBe('UNDROP_PACKET_TOO_LARGE');
  });
});

test('an enormous packet of the server is refused as well', () => {
  const played = new Played().play(loginOf('mysql-9.7/eof').spoken.slice(0, 2), whole);
  const header = Buffer.from('01001002', 'hex');
  expect(refusal(() => played.relay.feedServer(header))?.code).toBe('UNDROP_PACKET_TOO_LARGE');
});

test.each(['mysql-9.7', 'mysql-5.6', 'mariadb-10.11', 'mariadb-11.8'])(
  'an ERR of %s before its greeting goes through as it is',
  (server) => {
    const { answer } = exchange(`${server}/too-many`, 'a connection too many');
    for (const chunks of everySplit(answer)) {
      const played = new Played();
      for (const chunk of chunks) played.relay.feedServer(chunk);
      expect(played.clientGot.equals(answer)).toBe(true);
      expect(played.relay.state).toBe('greeting');
    }
  },
);

test('an ERR between the greeting and the response goes through as it is', () => {
  const played = new Played().play(loginOf('mariadb-11.8/eof').spoken.slice(0, 1), whole);
  const refusal = encodePacket(Buffer.from('ff6a04#HY000Host is not allowed', 'latin1'), 1);
  refusal[4] = 0xff;
  played.relay.feedServer(refusal);
  expect(played.toClient.at(-1)?.equals(refusal)).toBe(true);
});

test('an empty reply of the client is a packet like any other (wire 24)', () => {
  const { spoken } = loginOf('mysql-9.7/login-switched');
  const played = new Played().play(spoken.slice(0, 3), whole);
  const empty = encodePacket(Buffer.alloc(0), 3);
  played.relay.feedClient(empty);
  expect(played.toServer.at(-1)?.equals(empty)).toBe(true);
});
