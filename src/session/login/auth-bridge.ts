/**
 * Translates passwords between a secure connection and an insecure one. caching_sha2_password sends
 * the password in clear if its own connection is secure, and encrypted with the other side's RSA
 * key if it isn't. If one connection of a proxy is secure and the other is not, the two sides
 * expect different forms, so the bridge takes the password out of the one form and puts it into the
 * other. Everything else passes unread. The old sha256_password does the same with rules of its
 * own: it is refused between such connections.
 * https://dev.mysql.com/doc/dev/mysql-server/latest/page_caching_sha2_authentication_exchanges.html
 *
 * Invariants: a password is in memory between two packets of one exchange and is wiped then; it is
 * in no error and no log. A password from a secure connection never goes over an insecure one in
 * clear.
 */
import { privateDecrypt } from 'node:crypto';
import { encryptPassword, OAEP, xor } from '../../connections/login/server-key.js';
import { assert, UndropError } from '../../errors.js';
import type { AuthChallenge } from '../../wire/connection/auth-packets.js';
import { AUTH_MORE_DATA, challengeIn } from '../../wire/connection/auth-packets.js';
import type { BridgeKeys, ConnectionPair, ProxyKey } from './login-check.js';

/** The handling of a packet: it goes on to the other side, or its sender gets a response. */
export interface BridgeStep {
  readonly to: 'peer' | 'sender';
  readonly payload: Buffer;
}

type State =
  | { readonly name: 'relaying' }
  /** The client's next packet contains its password. */
  | { readonly name: 'password' }
  /** Undrop has requested the server's key. */
  | { readonly name: 'server-key'; readonly password: Buffer }
  /** The client has undrop's key. */
  | { readonly name: 'own-key' };

const CACHING_SHA2 = 'caching_sha2_password';
const SHA256 = 'sha256_password';
/** Plugins whose client sends a secret in clear. */
const CLEARTEXT: ReadonlySet<string> = new Set([
  'mysql_clear_password',
  'dialog',
  'authentication_openid_connect_client',
]);

/** caching_sha2_password: the request for the password, and the requests for a key. */
const PERFORM_FULL_AUTHENTICATION = 0x04;
const KEY_REQUEST = 0x02;

const IN_CLEAR =
  'would send the password in clear to the server, because the connection to the server is not encrypted, although yours is';
const NOT_ALIKE =
  'works only if your connection and that to the server are alike: both with TLS, both by TCP without TLS, or both by a unix socket';

export class AuthBridge {
  readonly #connections: ConnectionPair;
  readonly #keys: BridgeKeys;
  #challenge: AuthChallenge;
  #state: State = { name: 'relaying' };

  /** `challenge`: the plugin that the client begins with, and the last nonce of the server. */
  constructor(connections: ConnectionPair, keys: BridgeKeys, challenge: AuthChallenge) {
    this.#connections = connections;
    this.#keys = keys;
    this.#challenge = challenge;
  }

  /** COM_CHANGE_USER starts over: with a plugin of the client's choice, and the last nonce. */
  restart(plugin: string): void {
    this.#challenge = { plugin, nonce: this.#challenge.nonce };
    this.#state = { name: 'relaying' };
  }

  /** The client's first response, which is inside its HandshakeResponse or COM_CHANGE_USER. */
  fromClientFirst(answer: Buffer): void {
    if (answer.length > 0) this.#refusePlugin();
  }

  fromClient(payload: Buffer): BridgeStep {
    const state = this.#state;
    if (state.name === 'own-key') return onward(this.#decrypt(payload) ?? this.#wrongKey());
    if (state.name !== 'password') return onward(payload);
    this.#state = { name: 'relaying' };
    return this.#connections.client === 'plain'
      ? this.#passwordForSecure(payload)
      : this.#passwordForInsecure(payload);
  }

  fromServer(payload: Buffer): BridgeStep {
    const state = this.#state;
    if (state.name === 'server-key') {
      this.#state = { name: 'relaying' };
      try {
        if (payload[0] === AUTH_MORE_DATA) {
          const { nonce } = this.#challenge;
          const key = { sent: payload.subarray(1), nonce, policy: this.#keys.server };
          return { to: 'sender', payload: encryptPassword(state.password, key) };
        }
      } finally {
        state.password.fill(0);
      }
    }
    const challenge = challengeIn(payload);
    if (challenge !== null) {
      this.#challenge = challenge;
      this.#refusePlugin();
      this.#state = { name: 'relaying' };
    } else if (this.#asksForPassword(payload)) {
      this.#state = { name: 'password' };
    }
    return onward(payload);
  }

  /** The session ended: no part of a password is left. */
  wipe(): void {
    if (this.#state.name === 'server-key') this.#state.password.fill(0);
    this.#state = { name: 'relaying' };
  }

  #asksForPassword(payload: Buffer): boolean {
    return (
      this.#challenge.plugin === CACHING_SHA2 &&
      this.#isBridged &&
      // A client may accept a longer packet, too.
      payload.length >= 2 &&
      payload[0] === AUTH_MORE_DATA &&
      payload[1] === PERFORM_FULL_AUTHENTICATION
    );
  }

  /** Exactly one of the two connections is secure. */
  get #isBridged(): boolean {
    const { client, upstream } = this.#connections;
    return (client === 'plain') !== (upstream === 'plain');
  }

  #refusePlugin(): void {
    const { client, upstream } = this.#connections;
    const { plugin } = this.#challenge;
    if (CLEARTEXT.has(plugin) && client !== 'plain' && upstream === 'plain') {
      throw new UndropError('UNDROP_CLEARTEXT_PASSWORD', { why: `${plugin} ${IN_CLEAR}` });
    }
    if (plugin === SHA256 && client !== upstream) {
      // For an unknown user MySQL picks any plugin, so that clients can't find out which users
      // exist.
      const why = `the user is unknown, or has a plugin that cannot be used here (${plugin} ${NOT_ALIKE})`;
      throw new UndropError('UNDROP_CLEARTEXT_PASSWORD', { why });
    }
  }

  /**
   * From a secure client to an insecure connection: encrypted with the server's key, which is
   * requested.
   */
  #passwordForInsecure(payload: Buffer): BridgeStep {
    // No password, or a client whose connection is insecure (a relay before us): passes unchanged.
    const isPassword = payload.length > 1 && payload.at(-1) === 0;
    if (!isPassword) return onward(payload);
    this.#state = { name: 'server-key', password: Buffer.from(payload) };
    payload.fill(0);
    return onward(Buffer.of(KEY_REQUEST));
  }

  /** From an insecure client to a secure connection: encrypted with undrop's key, then in clear. */
  #passwordForSecure(payload: Buffer): BridgeStep {
    if (payload.length === 1 && payload[0] === KEY_REQUEST) {
      this.#state = { name: 'own-key' };
      const more = Buffer.from([AUTH_MORE_DATA]);
      return { to: 'sender', payload: Buffer.concat([more, this.#ownKey().publicPem]) };
    }
    // Encrypted without a request, with a key from a file of the client. It may be undrop's.
    if (payload.length !== this.#keys.own?.modulusBytes) return onward(payload);
    const password = this.#decrypt(payload);
    if (password !== null) return onward(password);
    return payload.at(-1) === 0 ? onward(payload) : this.#wrongKey();
  }

  #ownKey(): ProxyKey {
    const { own } = this.#keys;
    assert(own !== null, 'there is a key of our own if the upstream connection is the secure one');
    return own;
  }

  /** The password with its NUL; null if it wasn't encrypted with undrop's key. */
  #decrypt(payload: Buffer): Buffer | null {
    this.#state = { name: 'relaying' };
    const key = this.#ownKey().privateKey;
    try {
      return xor(privateDecrypt({ key, ...OAEP }, payload), this.#challenge.nonce);
    } catch {
      // OpenSSL reports no more than a failure, on purpose.
      return null;
    }
  }

  #wrongKey(): never {
    throw new UndropError('UNDROP_PASSWORD_KEY');
  }
}

/** Passes the packet unchanged. */
export function onward(payload: Buffer): BridgeStep {
  return { to: 'peer', payload };
}
