/**
 * A session that sends packets as they are and knows by a marker, sent behind them, where their
 * answers end; it has a response tracker beside it that has to know the same. For an account
 * without a password.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { ResponseTracker } from '../../src/relay/response-tracker.js';
import { MarkerSeeker } from '../../src/session/user-session/wire-user-session.js';
import * as caps from '../../src/wire/capabilities.js';
import { COM_CHANGE_USER, encodeComQuery } from '../../src/wire/commands.js';
import { decodeHandshakeV10 } from '../../src/wire/connection/handshake-v10.js';
import { encodePacket, HEADER_BYTES } from '../../src/wire/framing.js';
import type { Target } from './servers.js';

const NEEDED =
  caps.CLIENT_PROTOCOL_41 |
  caps.CLIENT_TRANSACTIONS |
  caps.CLIENT_SECURE_CONNECTION |
  caps.CLIENT_MULTI_RESULTS |
  caps.CLIENT_PLUGIN_AUTH;
const UTF8MB4 = 45;
const SILENCE_MS = 20_000;

/** What the tracker thought while the answers of one step came. */
export interface Step {
  /** All answers, up to the marker's. */
  readonly answers: Buffer;
  /** At how many packet edges before the last it was idle. */
  readonly idleTooEarly: number;
  readonly isIdle: boolean;
  readonly isUntracked: boolean;
  /** The server closed the connection. */
  readonly isOver: boolean;
}

/** Knows where packets begin, never that none is owed: the nonce alone makes the marker here. */
class EdgeFinder extends ResponseTracker {
  override get idle(): boolean {
    return false;
  }
}

export class MarkedSession {
  readonly #socket: Socket;
  readonly #plugin: string;
  readonly agreed: caps.Capabilities;
  readonly #tracker: ResponseTracker;
  #arrived: Buffer<ArrayBufferLike> = Buffer.alloc(0);
  #isOver = false;
  #wake: () => void = () => undefined;

  private constructor(socket: Socket, login: Login) {
    this.#socket = socket;
    this.#plugin = login.plugin;
    this.agreed = login.agreed;
    this.#tracker = new ResponseTracker(login.agreed);
    socket.on('data', (chunk: Buffer) => {
      this.#arrived = this.#arrived.length === 0 ? chunk : Buffer.concat([this.#arrived, chunk]);
      this.#wake();
    });
    const over = () => {
      this.#isOver = true;
      this.#wake();
    };
    socket.on('error', over);
    socket.on('close', over);
  }

  /** `hinted`: capabilities beside the needed ones; those that the server has are agreed. */
  static async open(target: Target, hinted: caps.Capabilities): Promise<MarkedSession> {
    const socket = connect(target.port, target.host).setNoDelay(true);
    const [first] = (await once(socket, 'data')) as [Buffer];
    const greeting = first.subarray(HEADER_BYTES);
    const { capabilities } = decodeHandshakeV10(greeting);
    const isMariadb = (capabilities.flags & caps.CLIENT_LONG_PASSWORD) === 0;
    const mariadb = isMariadb ? hinted.mariadb : 0;
    const longPassword = isMariadb ? 0 : caps.CLIENT_LONG_PASSWORD;
    const flags = (NEEDED | longPassword | hinted.flags) >>> 0;
    const agreed = caps.agreedCapabilities(capabilities, { flags, mariadb });
    const plugin = greeting.toString('latin1').split('\0').at(-2) ?? '';
    const session = new MarkedSession(socket, { agreed, plugin });
    const head = Buffer.alloc(32);
    head.writeUInt32LE(agreed.flags, 0);
    head.writeUInt32LE(1 << 30, 4);
    head[8] = UTF8MB4;
    head.writeUInt32LE(agreed.mariadb, 28);
    const names = Buffer.from(`${target.user}\0\0${plugin}\0`, 'latin1');
    session.#send(encodePacket(Buffer.concat([head, names, attributes(agreed)]), 1));
    const answer = await session.#authenticate();
    if (session.#isOver) throw new Error(answer.toString('latin1'));
    return session;
  }

  /** Sends `payloads` in one write with the marker behind, and reads up to the marker's answer. */
  async run(payloads: readonly Buffer[]): Promise<Step> {
    for (const payload of payloads) this.#tracker.expect(payload[0] ?? 0);
    const frames = payloads.map((payload) => encodePacket(payload, 0));
    return this.#untilMarker(frames, Buffer.alloc(0));
  }

  /** A LOAD DATA LOCAL INFILE: `data` where the server asks for it, then the marker. */
  async upload(text: string, data: readonly Buffer[]): Promise<Step> {
    const payload = encodeComQuery(Buffer.from(text), this.agreed);
    this.#tracker.expect(payload[0] ?? 0);
    this.#send(encodePacket(payload, 0));
    const first = await this.#packet();
    const isAsked = first[HEADER_BYTES] === 0xfb;
    const frames = isAsked ? data.map((bytes, index) => encodePacket(bytes, index + 2)) : [];
    return this.#untilMarker(frames, first);
  }

  /** COM_CHANGE_USER; behind one that fails the server closes the connection. */
  async changeUser(user: string): Promise<Step> {
    const head = Buffer.from([COM_CHANGE_USER]);
    const charset = Buffer.from([UTF8MB4, 0]);
    const names = Buffer.from(`${user}\0\0\0`, 'latin1');
    const plugin = Buffer.from(`${this.#plugin}\0`, 'latin1');
    const parts = [head, names, charset, plugin, attributes(this.agreed)];
    this.#tracker.expect(COM_CHANGE_USER);
    this.#send(encodePacket(Buffer.concat(parts), 0));
    return this.#untilMarker([], await this.#authenticate());
  }

  close(): void {
    this.#socket.destroy();
  }

  #send(bytes: Buffer): void {
    if (!this.#isOver) this.#socket.write(bytes);
  }

  /** The whole dialogue; every request of the server gets the proof of an empty password. */
  async #authenticate(): Promise<Buffer> {
    const packets: Buffer[] = [];
    for (;;) {
      const packet = await this.#packet();
      packets.push(packet);
      const first = packet[HEADER_BYTES];
      if (first === 0x00 || first === 0xff) return Buffer.concat(packets);
      if (packet.length === 0) return Buffer.concat(packets);
      if (first === 0xfe) this.#send(encodePacket(Buffer.alloc(0), (packet[3] ?? 0) + 1));
    }
  }

  async #untilMarker(frames: readonly Buffer[], seen: Buffer): Promise<Step> {
    // A tracker of its own finds the packets; the one under test gets them one by one.
    const seeker = new MarkerSeeker(new EdgeFinder(this.agreed));
    const marker = encodeComQuery(seeker.text, this.agreed);
    this.#send(Buffer.concat([...frames, encodePacket(marker, 0)]));
    const answers: Buffer[] = [];
    let own: Buffer | null = null;
    let chunk: Buffer = seen;
    while (own === null) {
      const found = seeker.feed(chunk);
      answers.push(Buffer.from(found.foreign));
      own = found.own;
      if (own !== null || this.#isOver) break;
      chunk = await this.#chunk();
    }
    if (own !== null) this.#arrived = Buffer.concat([own, this.#arrived]);
    return this.#check(Buffer.concat(answers), own === null);
  }

  #check(answers: Buffer, isOver: boolean): Step {
    let idleTooEarly = 0;
    for (let at = 0; at < answers.length; ) {
      const end = Math.min(at + HEADER_BYTES + answers.readUIntLE(at, 3), answers.length);
      if (this.#tracker.idle) idleTooEarly++;
      this.#tracker.feed(answers, at, end);
      at = end;
    }
    const { idle, untracked } = this.#tracker;
    return { answers, idleTooEarly, isIdle: idle, isUntracked: untracked, isOver };
  }

  async #packet(): Promise<Buffer> {
    const size = () =>
      HEADER_BYTES + (this.#arrived.length < HEADER_BYTES ? 0 : this.#arrived.readUIntLE(0, 3));
    while (this.#arrived.length <= HEADER_BYTES || this.#arrived.length < size()) {
      if (this.#isOver) return Buffer.alloc(0);
      await this.#more();
    }
    const packet = this.#arrived.subarray(0, size());
    this.#arrived = this.#arrived.subarray(packet.length);
    return packet;
  }

  async #chunk(): Promise<Buffer> {
    while (this.#arrived.length === 0 && !this.#isOver) await this.#more();
    const chunk = this.#arrived;
    this.#arrived = Buffer.alloc(0);
    return chunk;
  }

  #more(): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('No answer came.')), SILENCE_MS);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

interface Login {
  readonly agreed: caps.Capabilities;
  readonly plugin: string;
}

/** Long ones: in COM_CHANGE_USER MySQL 5.6 takes the charset for their length. */
function attributes(agreed: caps.Capabilities): Buffer {
  const hasAttributes = caps.hasFlag(agreed, caps.CLIENT_CONNECT_ATTRS);
  return Buffer.from(hasAttributes ? `\x53\x01a\x50${'x'.repeat(80)}` : '');
}
