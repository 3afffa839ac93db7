/**
 * Passwords between connections that are protected differently, packet by packet: by which key, by
 * which sequence ids, and never in clear. Whole logins and changes of user, in every pair of
 * connections and by each plugin, are in server/tls-logins.test.ts.
 */
import { generateKeyPairSync } from 'node:crypto';
import { type ServerKeyPolicy, spkiOf } from '../../src/connections/login/server-key.js';
import { AuthBridge } from '../../src/session/login/auth-bridge.js';
import { AuthExchange } from '../../src/session/login/auth-exchange.js';
import type { ConnectionPair, ConnectionSecurity } from '../../src/session/login/login-check.js';
import { HEADER_BYTES } from '../../src/wire/framing.js';
import { refusal } from '../support/refusal.js';
import { decryptedByServer, encryptedBy, keyPacket, SERVER_KEYS } from '../support/sha2-server.js';

const PLUGIN = 'caching_sha2_password';
const PASSWORD = Buffer.from('the sëcret\0');
const NONCE = Buffer.from('a nonce of 20 bytes.');
const OWN = generateKeyPairSync('rsa', { modulusLength: 2048 });
const OK = Buffer.from('00000002000000', 'hex');
/** The server's hint for the password, and the client's for a key. */
const [FULL, KEY_REQUEST] = [Buffer.of(1, 4), Buffer.of(2)];
const SERVER_KEY = keyPacket(SERVER_KEYS.publicKey);
const CONNECTIONS: readonly ConnectionSecurity[] = ['plain', 'socket', 'tls'];

function bridgeOf(pair: ConnectionPair, plugin = PLUGIN, server: ServerKeyPolicy = 'ask') {
  const { privateKey, publicKey } = OWN;
  const own = { privateKey, publicPem: keyPacket(publicKey).subarray(1), modulusBytes: 256 };
  return new AuthBridge(pair, { own, server }, { plugin, nonce: Buffer.from(NONCE) });
}

/** What follows the response; where a side is in TLS, its SSLRequest has taken a sequence id. */
function begin(pair: ConnectionPair, policy?: ServerKeyPolicy) {
  const out: (readonly [to: 'client' | 'server', framed: Buffer])[] = [];
  const idBehind = (security: ConnectionSecurity) => (security === 'tls' ? 3 : 2);
  const exchange = new AuthExchange({
    bridge: bridgeOf(pair, PLUGIN, policy),
    check: null,
    nextToClient: idBehind(pair.client),
    nextToServer: idBehind(pair.upstream),
    connections: {
      toClient: (framed) => out.push(['client', framed]),
      toServer: (framed) => out.push(['server', framed]),
    },
  });
  /** To whom what came of it goes, with which sequence id. */
  const outcome = () => {
    const [[to, framed] = ['nobody', Buffer.alloc(HEADER_BYTES)], ...more] = out.splice(0);
    expect(more).toEqual([]);
    return { to, sequenceId: framed[3], payload: framed.subarray(HEADER_BYTES) };
  };
  return {
    server: (sequenceId: number, payload: Buffer) => {
      exchange.fromServer({ sequenceId, payload: Buffer.from(payload) });
      return outcome();
    },
    client: (sequenceId: number, payload: Buffer) => {
      exchange.fromClient({ sequenceId, payload: Buffer.from(payload) });
      return outcome();
    },
    out,
  };
}

describe('[21] [25] a client in TLS over an upstream connection without', () => {
  const pair = { client: 'tls', upstream: 'plain' } as const;
  const pinned = spkiOf(SERVER_KEYS.publicKey);

  test.each<[string, Buffer, ServerKeyPolicy]>([
    ['as it comes', FULL, 'ask'],
    ['that is pinned', FULL, { pinned }],
    ['after a hint with more behind it, which clients read over', Buffer.of(1, 4, 0), 'ask'],
  ])('has its password encrypted by a key %s (wire 21, 25)', (_how, hint, policy) => {
    const { server, client } = begin(pair, policy);
    expect(server(2, hint)).toEqual({ to: 'client', sequenceId: 3, payload: hint });
    expect(client(4, PASSWORD)).toEqual({ to: 'server', sequenceId: 3, payload: KEY_REQUEST });
    const { payload, ...to } = server(4, SERVER_KEY);
    expect(to).toEqual({ to: 'server', sequenceId: 5 });
    expect(decryptedByServer(payload, NONCE)).toBe(PASSWORD.toString());
    expect(server(6, OK)).toEqual({ to: 'client', sequenceId: 5, payload: OK });
  });

  test.each<[string, Buffer, ServerKeyPolicy, string]>([
    ['not the pinned one', PASSWORD, { pinned: Buffer.from('another') }, 'its key is not the'],
    ['one that nobody vouches for', PASSWORD, 'refuse', 'its key could not be verified'],
    ['too short', Buffer.alloc(215, 'x').fill(0, 214), 'ask', "too long for the server's key"],
  ])('is refused where the key is %s (wire 21)', (_what, password, policy, words) => {
    const { server, client, out } = begin(pair, policy);
    server(2, FULL);
    client(4, password);
    const error = refusal(() => server(4, SERVER_KEY));
    expect(error).toMatchObject({ code: 'UNDROP_SERVER_KEY' });
    expect(error?.message).toContain(words);
    expect(error?.message).not.toContain('the sëcret');
    expect(out).toEqual([]);
  });

  test('may have a password of 213 bytes, and none', () => {
    const { server, client } = begin(pair);
    server(2, FULL);
    client(4, Buffer.alloc(214, 'x').fill(0, 213));
    const { payload } = server(4, SERVER_KEY);
    expect(decryptedByServer(payload, NONCE)).toBe(`${'x'.repeat(213)}\0`);
    const none = begin(pair);
    none.server(2, FULL);
    expect(none.client(4, Buffer.of(0)).payload).toEqual(Buffer.of(0));
  });
});

describe('[22] [25] a client without TLS over an upstream connection with it', () => {
  const pair = { client: 'plain', upstream: 'tls' } as const;
  const encrypted = encryptedBy(OWN.publicKey, PASSWORD, NONCE);

  test('encrypts its password by our key, which it requests (wire 22, 25)', () => {
    const { server, client } = begin(pair);
    expect(server(3, FULL)).toEqual({ to: 'client', sequenceId: 2, payload: FULL });
    const payload = keyPacket(OWN.publicKey);
    expect(client(3, KEY_REQUEST)).toEqual({ to: 'client', sequenceId: 4, payload });
    expect(client(5, encrypted)).toEqual({ to: 'server', sequenceId: 4, payload: PASSWORD });
    expect(server(5, OK)).toEqual({ to: 'client', sequenceId: 6, payload: OK });
  });

  test('may have it out of a file (wire 22)', () => {
    const { server, client } = begin(pair);
    server(3, FULL);
    expect(client(3, encrypted)).toEqual({ to: 'server', sequenceId: 4, payload: PASSWORD });
  });

  test('is refused with a reason where it has the server’s in a file (wire 22)', () => {
    const { server, client, out } = begin(pair);
    server(3, FULL);
    const byServers = encryptedBy(SERVER_KEYS.publicKey, PASSWORD, NONCE);
    expect(refusal(() => client(3, byServers))).toMatchObject({ code: 'UNDROP_PASSWORD_KEY' });
    expect(out).toEqual([]);
  });
});

const PAIRS = CONNECTIONS.flatMap((client) =>
  CONNECTIONS.map((upstream) => ({ client, upstream })),
);

test.each(PAIRS)('sha256_password from $client to $upstream: both have to be alike', (pair) => {
  const plugin = 'sha256_password';
  const bothAreAlike = pair.client === pair.upstream;
  // Begun with it, and with another: what the client has sent so far goes nowhere.
  const begun = refusal(() => bridgeOf(pair, plugin).fromClientFirst(PASSWORD));
  const asked = Buffer.from(`\xfe${plugin}\0${NONCE}\0`, 'latin1');
  for (const error of [begun, refusal(() => bridgeOf(pair).fromServer(asked))]) {
    if (bothAreAlike) expect(error).toBeNull();
    else expect(error).toMatchObject({ code: 'UNDROP_CLEARTEXT_PASSWORD' });
    if (!bothAreAlike) expect(error?.message).toContain('sha256_password works only if');
  }
});
