/**
 * A server of the sha2 plugins as a real one is: it decides by its own connection whether the
 * password may go in clear, and refuses a wrong sequence id. Written from the manual, and not from
 * what stands before it.
 */
import {
  constants,
  generateKeyPairSync,
  type KeyObject,
  privateDecrypt,
  publicEncrypt,
  randomBytes,
} from 'node:crypto';
import * as caps from '../../src/wire/capabilities.js';
import { encodePacket, HEADER_BYTES } from '../../src/wire/framing.js';
import { encodeErr } from '../../src/wire/response.js';

export const SERVER_KEYS = generateKeyPairSync('rsa', { modulusLength: 2048 });
const OAEP = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha1' };
const FLAGS =
  caps.CLIENT_LONG_PASSWORD |
  caps.CLIENT_PROTOCOL_41 |
  caps.CLIENT_SSL |
  caps.CLIENT_SECURE_CONNECTION |
  caps.CLIENT_PLUGIN_AUTH |
  caps.CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA |
  caps.CLIENT_CONNECT_ATTRS;
const OK = Buffer.from('00000002000000', 'hex');

/** A key as it is sent where it was requested. */
export function keyPacket(key: KeyObject): Buffer {
  return Buffer.concat([Buffer.of(1), Buffer.from(key.export({ type: 'spki', format: 'pem' }))]);
}

/** A password with its NUL, as a client encrypts it. */
export function encryptedBy(key: KeyObject, password: Buffer, nonce: Buffer): Buffer {
  // One in 256 ends with a NUL and would be taken for a password in clear.
  for (;;) {
    const encrypted = publicEncrypt({ key, ...OAEP }, xor(password, nonce));
    if (encrypted.at(-1) !== 0) return encrypted;
  }
}

/** The password with its NUL; null: not by the server's key, a wrong password, as a server says. */
export function decryptedByServer(encrypted: Buffer, nonce: Buffer): string | null {
  const { privateKey: key } = SERVER_KEYS;
  try {
    return xor(privateDecrypt({ key, ...OAEP }, encrypted), nonce).toString();
  } catch {
    return null;
  }
}

function xor(bytes: Buffer, pattern: Buffer): Buffer {
  return Buffer.from(bytes.map((byte, index) => byte ^ (pattern[index % pattern.length] ?? 0)));
}

interface ServerOptions {
  readonly plugin: 'caching_sha2_password' | 'sha256_password';
  readonly password: string;
  readonly leg: 'plain' | 'tls';
  /** What the greeting names. */
  readonly greets: string;
  readonly out: (bytes: Buffer) => void;
}

/** The server's side of a login. */
export class Sha2Server {
  readonly #options: ServerOptions;
  #sequenceId = 0;
  #nonce = nonceOf();
  #state: 'ssl' | 'response' | 'scramble' | 'full' | 'key' = 'response';
  outcome: 'OK' | 'ERR' | null = null;

  constructor(options: ServerOptions) {
    this.#options = options;
    if (options.leg === 'tls') this.#state = 'ssl';
  }

  greet(): void {
    const low = Buffer.alloc(2);
    low.writeUInt16LE(FLAGS & 0xffff);
    const high = Buffer.alloc(2);
    high.writeUInt16LE(FLAGS >>> 16);
    this.#send(
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
        Buffer.from(`\0${this.#options.greets}\0`),
      ]),
    );
  }

  /** A whole packet; throws where its sequence id isn't the next. */
  receive(framed: Buffer): void {
    if (framed.length !== HEADER_BYTES + framed.readUIntLE(0, 3)) throw new Error('cut');
    if (framed[3] !== this.#sequenceId) {
      throw new Error(`expected sequence id ${this.#sequenceId}, got ${framed[3]}`);
    }
    this.#sequenceId++;
    this.#take(framed.subarray(HEADER_BYTES));
  }

  #send(payload: Buffer): void {
    const framed = encodePacket(payload, this.#sequenceId);
    this.#sequenceId++;
    this.#options.out(framed);
  }

  #take(payload: Buffer): void {
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
        return this.#finish(decryptedByServer(payload, this.#nonce));
    }
  }

  #onResponse(payload: Buffer): void {
    const user = payload.indexOf(0, 32) + 1;
    const length = payload[user] ?? 0;
    const auth = payload.subarray(user + 1, user + 1 + length);
    const behind = payload.subarray(user + 1 + length);
    const plugin = behind.subarray(0, behind.indexOf(0)).toString();
    if (plugin === this.#options.plugin) return this.#check(auth);
    this.#nonce = nonceOf();
    this.#state = 'scramble';
    const name = Buffer.from(`\xfe${this.#options.plugin}\0`, 'latin1');
    this.#send(Buffer.concat([name, this.#nonce, Buffer.of(0)]));
  }

  #check(answer: Buffer): void {
    if (this.#options.plugin === 'sha256_password') return this.#onPassword(answer);
    if (answer.length === 0 || answer.equals(Buffer.of(0))) return this.#finish('\0');
    this.#state = 'full';
    this.#send(Buffer.of(1, 4));
  }

  #onPassword(payload: Buffer): void {
    const { plugin, leg } = this.#options;
    if (leg === 'tls') return this.#finish(payload.toString());
    if (payload.equals(Buffer.of(0)) || payload.length === 0) return this.#finish('\0');
    if (!payload.equals(Buffer.of(plugin === 'sha256_password' ? 1 : 2))) {
      return this.#finish(decryptedByServer(payload, this.#nonce));
    }
    this.#state = 'key';
    this.#send(keyPacket(SERVER_KEYS.publicKey));
  }

  #finish(password: string | null): void {
    this.outcome = password === `${this.#options.password}\0` ? 'OK' : 'ERR';
    const message = Buffer.from('Access denied');
    const refusal = encodeErr({ errno: 1045, sqlState: '28000', message });
    this.#send(this.outcome === 'OK' ? OK : refusal);
  }
}

/** Without NULs, as servers make them. */
function nonceOf(): Buffer {
  return Buffer.from(randomBytes(20).map((byte) => (byte % 94) + 33));
}
