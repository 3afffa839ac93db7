/**
 * Logins and changes of user between a client and a server that judge their own legs as real ones
 * do, in every pair of legs. Both refuse a wrong sequence id, so each outcome says that none came.
 */
import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { UndropError } from '../../src/errors.js';
import { type ServerKeyPolicy, spkiOf } from '../../src/service/login/server-key.js';
import { ChangeUser } from '../../src/session/login/auth-exchange.js';
import { type Login, LoginRelay } from '../../src/session/login/login.js';
import type { ConnectionSecurity, ProxyKey } from '../../src/session/login/login-check.js';
import { PacketAssembler } from '../../src/wire/framing.js';
import { SERVER_KEYS, Sha2Client, type Sha2Plugin, Sha2Server } from '../support/sha2-parties.js';

const PASSWORD = 'the sëcret';
const OWN = proxyKeyOf(generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey);
const LEGS: readonly ConnectionSecurity[] = ['plain', 'socket', 'tls'];
const PLUGIN: Sha2Plugin = 'caching_sha2_password';

function proxyKeyOf(privateKey: KeyObject): ProxyKey {
  const pem = createPublicKey(privateKey).export({ type: 'spki', format: 'pem' });
  return { privateKey, publicPem: Buffer.from(pem), modulusBytes: 256 };
}

interface Played {
  readonly plugin: Sha2Plugin;
  readonly client: ConnectionSecurity;
  readonly upstream: ConnectionSecurity;
  /** What the account has. */
  readonly password?: string;
  /** What the client says. */
  readonly says?: string;
  readonly isWarm?: boolean;
  readonly begins?: 'with it' | 'with another';
  readonly knownKey?: KeyObject;
  readonly serverKey?: ServerKeyPolicy;
}

/** A relay between the two; what they send is delivered in turns, until nothing is on its way. */
class Play {
  readonly client: Sha2Client;
  readonly server: Sha2Server;
  login: Login | null = null;
  failure: UndropError | null = null;
  readonly #relay: LoginRelay;
  #changing: ChangeUser | null = null;
  readonly #onTheWay: (() => void)[] = [];

  constructor(played: Played) {
    const { plugin, client, upstream, password = PASSWORD } = played;
    this.server = new Sha2Server({
      plugin,
      password,
      leg: upstream,
      greets: played.begins === 'with another' ? 'mysql_native_password' : plugin,
      isWarm: played.isWarm ?? false,
      out: (bytes) => this.#deliver(() => (this.#changing ?? this.#relay).feedServer(bytes)),
    });
    this.client = new Sha2Client({
      password: played.says ?? password,
      leg: client,
      ...(played.knownKey && { knownKey: played.knownKey }),
      out: (bytes) => this.#deliver(() => this.#fromClient(bytes)),
    });
    this.#relay = new LoginRelay({
      security: {
        sockets: { client, upstream },
        offersTls: true,
        requiresTls: false,
        showsCertificate: false,
        keys: { own: OWN, server: played.serverKey ?? 'ask' },
        wantsTls: ({ isOffered }) => isOffered && upstream === 'tls',
      },
      toClient: (bytes) => this.#deliver(() => this.client.receive(bytes)),
      toServer: (bytes) => this.#deliver(() => this.server.receive(bytes)),
      secureClient: (hello) => {
        expect(hello).toHaveLength(0);
        this.#deliver(() => this.#relay.clientIsSecure());
        this.#deliver(() => this.client.secured());
      },
      secureServer: () => this.#deliver(() => this.#relay.serverIsSecure()),
      onDone: (login, rest) => {
        this.login = login;
        expect(rest.fromClient).toHaveLength(0);
      },
    });
  }

  logIn(): this {
    this.server.greet();
    return this.#run();
  }

  changeUser(): this {
    this.client.changeUser();
    return this.#run();
  }

  get outcomes(): readonly unknown[] {
    return [this.client.outcome, this.server.outcome];
  }

  /** After the login the client's packet is a COM_CHANGE_USER. */
  #fromClient(bytes: Buffer): void {
    if (this.login === null) return this.#relay.feedClient(bytes);
    if (this.#changing !== null) return this.#changing.feedClient(bytes);
    const { bridge } = this.login;
    const assembler = new PacketAssembler(10_000);
    assembler.push(bytes);
    const packet = assembler.next();
    if (bridge === null || packet === null) throw new Error('expected a command for a bridge');
    this.#changing = new ChangeUser({
      packet,
      bridge,
      check: null,
      toClient: (answer) => this.#deliver(() => this.client.receive(answer)),
      toServer: (command) => this.#deliver(() => this.server.receive(command)),
      onDone: () => {
        this.#changing = null;
      },
    });
    this.#changing.begin();
  }

  #deliver(step: () => void): void {
    this.#onTheWay.push(step);
  }

  #run(): this {
    try {
      for (let step = this.#onTheWay.shift(); step !== undefined; step = this.#onTheWay.shift()) {
        step();
      }
    } catch (error) {
      if (!(error instanceof UndropError)) throw error;
      this.failure = error;
    }
    return this;
  }
}

const CELLS = LEGS.flatMap((client) =>
  LEGS.flatMap((upstream) =>
    (['with it', 'with another'] as const).map((begins) => ({
      plugin: PLUGIN,
      client,
      upstream,
      begins,
    })),
  ),
);

describe.each(CELLS)('[21] [22] [23] [25] $plugin, $client to $upstream, begun $begins', (cell) => {
  test('the right password logs in, and again by a change of user (wire 21, 22, 23, 25, 26)', () => {
    const play = new Play(cell).logIn();
    expect([play.failure, ...play.outcomes]).toEqual([null, 'OK', 'OK']);
    // Over a unix socket each login is checked (login-check.ts), and hence read.
    const isRead = cell.client !== cell.upstream || cell.upstream === 'socket';
    if (!isRead) return expect(play.login?.bridge).toBeNull();
    expect(play.changeUser().outcomes).toEqual(['OK', 'OK']);
    expect(play.changeUser().outcomes).toEqual(['OK', 'OK']);
  });

  test('a wrong one is refused in the words of the server (wire 21, 22)', () => {
    const play = new Play({ ...cell, says: 'another' }).logIn();
    expect([play.failure, ...play.outcomes]).toEqual([null, 'ERR', 'ERR']);
    expect(play.client.refusal).toBe('Access denied');
    expect(play.login).toBeNull();
  });

  test('none logs in where the account has none, and only there', () => {
    expect(new Play({ ...cell, password: '' }).logIn().outcomes).toEqual(['OK', 'OK']);
    expect(new Play({ ...cell, says: '' }).logIn().outcomes).toEqual(['ERR', 'ERR']);
  });

  test('a server with a warm cache asks for nothing', () => {
    const play = new Play({ ...cell, isWarm: true }).logIn();
    expect(play.outcomes).toEqual(['OK', 'OK']);
    expect(play.server.received.join()).not.toContain(PASSWORD);
  });

  test('the password is never in clear on a leg that is not secure', () => {
    const play = new Play(cell).logIn();
    const isClear = play.server.received.some((payload) => payload.includes(PASSWORD));
    expect(isClear).toBe(cell.upstream !== 'plain');
  });
});

describe.each(CELLS)('sha256_password, $client to $upstream, begun $begins', (cell) => {
  const play = new Play({ ...cell, plugin: 'sha256_password' }).logIn();

  test('logs in between connections that are protected alike, and is refused between others', () => {
    if (cell.client === cell.upstream) return expect(play.outcomes).toEqual(['OK', 'OK']);
    expect(play.failure?.code).toBe('UNDROP_CLEARTEXT_PASSWORD');
    expect(play.failure?.message).toContain('sha256_password works only if');
    expect(play.server.received.some((payload) => payload.includes(PASSWORD))).toBe(false);
  });
});

describe('[21] a client in TLS over an upstream leg without', () => {
  const cell = { plugin: PLUGIN, client: 'tls', upstream: 'plain' } as const;

  test('goes by a key that is pinned (wire 21)', () => {
    const serverKey = { pinned: spkiOf(SERVER_KEYS.publicKey) };
    expect(new Play({ ...cell, serverKey }).logIn().outcomes).toEqual(['OK', 'OK']);
  });

  test.each<[string, ServerKeyPolicy, string]>([
    ['a key that is not the pinned one', { pinned: Buffer.from('another') }, 'its key is not the'],
    ['a key that nobody vouches for', 'refuse', 'its key could not be verified'],
  ])('is refused for %s', (_what, serverKey, words) => {
    const play = new Play({ ...cell, serverKey }).logIn();
    expect(play.failure?.code).toBe('UNDROP_SERVER_KEY');
    expect(play.failure?.message).toContain(words);
    expect(play.failure?.message).not.toContain(PASSWORD);
    expect(play.server.received.some((payload) => payload.includes(PASSWORD))).toBe(false);
  });

  test('is refused where it is too long for the key', () => {
    const play = new Play({ ...cell, password: 'x'.repeat(214) }).logIn();
    expect(play.failure?.message).toContain('too long for the server’s key'.replace('’', "'"));
    expect(new Play({ ...cell, password: 'x'.repeat(213) }).logIn().outcomes).toEqual(['OK', 'OK']);
  });
});

describe('[22] a client without TLS over an upstream leg with it', () => {
  const cell = { plugin: PLUGIN, client: 'plain', upstream: 'tls' } as const;

  test('may be encrypted by our key out of a file (wire 22)', () => {
    const knownKey = createPublicKey(OWN.publicPem);
    expect(new Play({ ...cell, knownKey }).logIn().outcomes).toEqual(['OK', 'OK']);
  });

  test('is refused with a reason where it is encrypted by the server’s (wire 22)', () => {
    const play = new Play({ ...cell, knownKey: SERVER_KEYS.publicKey }).logIn();
    expect(play.failure?.code).toBe('UNDROP_PASSWORD_KEY');
  });
});
