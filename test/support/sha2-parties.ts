/**
 * A client and a server of the sha2 plugins as real ones are: each decides by its own leg whether
 * the password may go in clear, and each refuses a wrong sequence id. Written from the manual, and
 * not from what stands between them.
 */
import {
  constants,
  createHash,
  generateKeyPairSync,
  type KeyObject,
  privateDecrypt,
  publicEncrypt,
  randomBytes,
} from 'node:crypto';
import type { ConnectionSecurity } from '../../src/session/login/login-check.js';
import * as caps from '../../src/wire/capabilities.js';
import * as com from '../../src/wire/commands.js';
import { encodePacket, HEADER_BYTES } from '../../src/wire/framing.js';
import { encodeErr } from '../../src/wire/response.js';
import { loginAnswer } from './login-answers.js';

export type Sha2Plugin = 'caching_sha2_password' | 'sha256_password';

export const SERVER_KEYS = generateKeyPairSync('rsa', { modulusLength: 2048 });
const OAEP = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha1' };
const FLAGS =
  caps.CLIENT_LONG_PASSWORD |
  caps.CLIENT_PROTOCOL_41 |
  caps.CLIENT_SECURE_CONNECTION |
  caps.CLIENT_PLUGIN_AUTH |
  caps.CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA |
  caps.CLIENT_CONNECT_ATTRS;
const OK = Buffer.from('00000002000000', 'hex');

/** One side of a conversation: it sends by `send`, which sets the sequence id. */
abstract class Party {
  #sequenceId = 0;
  readonly #out: (bytes: Buffer) => void;

  constructor(out: (bytes: Buffer) => void) {
    this.#out = out;
  }

  abstract take(payload: Buffer): void;

  /** One whole packet; throws where its sequence id isn't the next. */
  receive(framed: Buffer): void {
    if (framed.length !== HEADER_BYTES + framed.readUIntLE(0, 3)) throw new Error('cut');
    if (framed[3] !== this.#sequenceId) {
      throw new Error(`${this.constructor.name} expected ${this.#sequenceId}, got ${framed[3]}`);
    }
    this.#sequenceId++;
    this.take(framed.subarray(HEADER_BYTES));
  }

  protected send(payload: Buffer): void {
    const framed = encodePacket(payload, this.#sequenceId);
    this.#sequenceId++;
    this.#out(framed);
  }

  /** A command begins anew. */
  protected restart(): void {
    this.#sequenceId = 0;
  }
}

function isSecure(plugin: Sha2Plugin, leg: ConnectionSecurity): boolean {
  return leg === 'tls' || (leg === 'socket' && plugin === 'caching_sha2_password');
}

function sha256(...parts: readonly Buffer[]): Buffer {
  return createHash('sha256').update(Buffer.concat(parts)).digest();
}

function xor(bytes: Buffer, pattern: Buffer): Buffer {
  return Buffer.from(bytes.map((byte, index) => byte ^ (pattern[index % pattern.length] ?? 0)));
}

function scrambleOf(password: string, nonce: Buffer): Buffer {
  if (password === '') return Buffer.alloc(0);
  const stage1 = sha256(Buffer.from(password));
  return xor(stage1, sha256(sha256(stage1), nonce));
}

export interface ServerOptions {
  readonly plugin: Sha2Plugin;
  readonly password: string;
  readonly leg: ConnectionSecurity;
  /** What the greeting names. */
  readonly greets: Sha2Plugin | 'mysql_native_password';
  /** Knows the password's hash already. */
  readonly isWarm?: boolean;
  readonly out: (bytes: Buffer) => void;
}

/** The server's side of a login, and of changes of user after it. */
export class Sha2Server extends Party {
  readonly #options: ServerOptions;
  #nonce = nonceOf();
  #state: 'ssl' | 'response' | 'scramble' | 'full' | 'key' | 'commands' = 'response';
  outcome: 'OK' | 'ERR' | null = null;
  /** Payloads that came, for whoever looks for passwords in them. */
  readonly received: Buffer[] = [];

  constructor(options: ServerOptions) {
    super(options.out);
    this.#options = options;
    if (options.leg === 'tls') this.#state = 'ssl';
  }

  /** Queries come together, everything else alone. */
  override receive(framed: Buffer): void {
    const bytes = HEADER_BYTES + framed.readUIntLE(0, 3);
    const isQuery = this.#state === 'commands' && framed[HEADER_BYTES] === com.COM_QUERY;
    super.receive(isQuery ? framed.subarray(0, bytes) : framed);
    if (isQuery && framed.length > bytes) this.receive(framed.subarray(bytes));
  }

  greet(): void {
    const { greets } = this.#options;
    const flags = FLAGS | caps.CLIENT_SSL;
    const low = Buffer.alloc(2);
    low.writeUInt16LE(flags & 0xffff);
    const high = Buffer.alloc(2);
    high.writeUInt16LE(flags >>> 16);
    this.send(
      Buffer.concat([
        Buffer.from('\x0a9.7.4\0\x07\0\0\0', 'latin1'),
        this.#nonce.subarray(0, 8),
        Buffer.of(0),
        low,
        Buffer.from([255, 2, 0]),
        high,
        Buffer.from([21]),
        Buffer.alloc(10),
        this.#nonce.subarray(8),
        Buffer.from(`\0${greets}\0`),
      ]),
    );
  }

  take(payload: Buffer): void {
    this.received.push(Buffer.from(payload));
    switch (this.#state) {
      case 'ssl':
        if (payload.length !== 32) throw new Error('expected an SSLRequest');
        this.#state = 'response';
        return;
      case 'response':
        return this.#onResponse(payload);
      case 'scramble':
        return this.#check(payload);
      case 'full':
        return this.#onPassword(payload);
      case 'key':
        return this.#finish(this.#decrypted(payload));
      case 'commands':
        return payload[0] === com.COM_QUERY ? this.#onQuery(payload) : this.#onChangeUser(payload);
    }
  }

  #onQuery(payload: Buffer): void {
    const capabilities = { flags: FLAGS, mariadb: 0 };
    for (const packet of loginAnswer(payload.toString(), capabilities)) this.send(packet);
    this.restart();
  }

  #onResponse(payload: Buffer): void {
    const user = payload.indexOf(0, 32) + 1;
    const length = payload[user] ?? 0;
    const auth = payload.subarray(user + 1, user + 1 + length);
    const plugin = upToNul(payload.subarray(user + 1 + length));
    this.#begin(plugin, auth);
  }

  #onChangeUser(payload: Buffer): void {
    const user = payload.indexOf(0, 1) + 1;
    const length = payload[user] ?? 0;
    const schema = payload.indexOf(0, user + 1 + length) + 1;
    this.#begin(
      upToNul(payload.subarray(schema + 2)),
      payload.subarray(user + 1, user + 1 + length),
    );
  }

  #begin(plugin: string, auth: Buffer): void {
    if (plugin === this.#options.plugin) return this.#check(auth);
    this.#nonce = nonceOf();
    this.#state = 'scramble';
    const name = Buffer.from(`\xfe${this.#options.plugin}\0`, 'latin1');
    this.send(Buffer.concat([name, this.#nonce, Buffer.of(0)]));
  }

  #check(answer: Buffer): void {
    const { plugin, password, isWarm } = this.#options;
    if (plugin === 'sha256_password') return this.#onPassword(answer);
    if (answer.length === 0 || answer.equals(Buffer.of(0))) return this.#finish('\0');
    if (isWarm === true) {
      if (!answer.equals(scrambleOf(password, this.#nonce))) return this.#finish(null);
      this.send(Buffer.of(1, 3));
      return this.#finish(`${password}\0`);
    }
    this.#state = 'full';
    this.send(Buffer.of(1, 4));
  }

  #onPassword(payload: Buffer): void {
    const { plugin, leg } = this.#options;
    if (isSecure(plugin, leg)) return this.#finish(payload.toString());
    if (payload.equals(Buffer.of(0)) || payload.length === 0) return this.#finish('\0');
    if (!payload.equals(Buffer.of(plugin === 'sha256_password' ? 1 : 2))) {
      return this.#finish(this.#decrypted(payload));
    }
    this.#state = 'key';
    const pem = SERVER_KEYS.publicKey.export({ type: 'spki', format: 'pem' });
    this.send(Buffer.concat([Buffer.of(1), Buffer.from(pem)]));
  }

  #decrypted(payload: Buffer): string | null {
    try {
      const key = SERVER_KEYS.privateKey;
      return xor(privateDecrypt({ key, ...OAEP }, payload), this.#nonce).toString();
    } catch {
      // Not by this key: a wrong password, as a server says.
      return null;
    }
  }

  #finish(password: string | null): void {
    this.outcome = password === `${this.#options.password}\0` ? 'OK' : 'ERR';
    const message = Buffer.from('Access denied');
    const refusal = encodeErr({ errno: 1045, sqlState: '28000', message });
    this.#state = 'commands';
    this.send(this.outcome === 'OK' ? OK : refusal);
    this.restart();
  }
}

export interface ClientOptions {
  readonly password: string;
  readonly leg: ConnectionSecurity;
  /** A key that it has in a file. */
  readonly knownKey?: KeyObject;
  readonly out: (bytes: Buffer) => void;
}

/** The client's side; it begins with the plugin of the greeting. */
export class Sha2Client extends Party {
  readonly #options: ClientOptions;
  #plugin = '';
  #nonce = Buffer.alloc(0);
  #isGreeted = false;
  outcome: 'OK' | 'ERR' | null = null;
  /** What it was sent in place of an OK. */
  refusal = '';

  constructor(options: ClientOptions) {
    super(options.out);
    this.#options = options;
  }

  take(payload: Buffer): void {
    if (!this.#isGreeted) return this.#onGreeting(payload);
    const more = payload.subarray(1);
    switch (payload[0]) {
      case 0x00:
      case 0xff:
        this.outcome = payload[0] === 0 ? 'OK' : 'ERR';
        this.refusal = payload[0] === 0 ? '' : payload.subarray(9).toString();
        return this.restart();
      case 0xfe: {
        this.#plugin = upToNul(more);
        const from = this.#plugin.length + 1;
        this.#nonce = Buffer.from(more.subarray(from, from + 20));
        return this.send(this.#firstAnswer());
      }
      default:
        return this.#onMore(more);
    }
  }

  /** TLS is there, behind its SSLRequest. */
  secured(): void {
    this.send(this.#response());
  }

  changeUser(): void {
    this.restart();
    this.outcome = null;
    const auth = this.#firstAnswer();
    this.send(
      Buffer.concat([
        Buffer.from('\x11me\0'),
        Buffer.of(auth.length),
        auth,
        Buffer.from(`shop\0\x2d\0${this.#plugin}\0`),
      ]),
    );
  }

  #onGreeting(payload: Buffer): void {
    this.#isGreeted = true;
    const version = payload.indexOf(0) + 1;
    const rest = payload.subarray(version + 4 + 8 + 1 + 18);
    this.#nonce = Buffer.concat([
      payload.subarray(version + 4, version + 12),
      rest.subarray(0, 12),
    ]);
    this.#plugin = upToNul(rest.subarray(13));
    if (this.#options.leg !== 'tls') return this.send(this.#response());
    this.send(this.#response().subarray(0, 32));
  }

  #response(): Buffer {
    const head = Buffer.alloc(32);
    head.writeUInt32LE((FLAGS | (this.#options.leg === 'tls' ? caps.CLIENT_SSL : 0)) >>> 0, 0);
    head.writeUInt32LE(0x1000000, 4);
    head[8] = 45;
    const auth = this.#firstAnswer();
    const fields = [Buffer.from('me\0'), lenenc(auth), Buffer.from(`${this.#plugin}\0`)];
    return Buffer.concat([head, ...fields, Buffer.from('\x08\x03app\x03sh!')]);
  }

  #firstAnswer(): Buffer {
    const { password, leg } = this.#options;
    if (this.#plugin === 'mysql_native_password') return randomBytes(20);
    if (this.#plugin === 'caching_sha2_password') return scrambleOf(password, this.#nonce);
    if (password === '') return Buffer.of(0);
    return isSecure('sha256_password', leg) ? this.#clear() : this.#encryptedOr(1);
  }

  #onMore(more: Buffer): void {
    const { leg } = this.#options;
    if (more.equals(Buffer.of(3))) return;
    if (!more.equals(Buffer.of(4))) return this.send(this.#encrypted(more));
    const isClear = isSecure('caching_sha2_password', leg);
    this.send(isClear ? this.#clear() : this.#encryptedOr(2));
  }

  #clear(): Buffer {
    return Buffer.from(`${this.#options.password}\0`);
  }

  #encryptedOr(request: number): Buffer {
    const { knownKey } = this.#options;
    return knownKey === undefined ? Buffer.of(request) : this.#encrypted(knownKey);
  }

  #encrypted(key: Buffer | KeyObject): Buffer {
    const bytes = xor(this.#clear(), this.#nonce);
    // One in 256 ends with a NUL and would be taken for a password in clear.
    for (;;) {
      const encrypted = publicEncrypt({ key, ...OAEP }, bytes);
      if (encrypted.at(-1) !== 0) return encrypted;
    }
  }
}

function lenenc(bytes: Buffer): Buffer {
  if (bytes.length < 251) return Buffer.concat([Buffer.of(bytes.length), bytes]);
  return Buffer.concat([Buffer.of(0xfc, bytes.length & 0xff, bytes.length >> 8), bytes]);
}

/** Without NULs, as servers make them. */
function nonceOf(): Buffer {
  return Buffer.from(randomBytes(20).map((byte) => (byte % 94) + 33));
}

function upToNul(bytes: Buffer): string {
  return bytes.subarray(0, bytes.indexOf(0)).toString();
}
