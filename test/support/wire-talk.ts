/**
 * A connection that sends whatever bytes it is given and hands back the packets that came, as they
 * came. Where an answer ends it knows by a marker: a syntax error of its own behind the commands,
 * whose ERR carries a nonce. For accounts without a password.
 *
 * Invariant: no grammar of responses is used here, so nothing of one can hide a difference.
 */
import { once } from 'node:events';
import net, { type Socket } from 'node:net';
import * as caps from '../../src/wire/capabilities.js';
import * as com from '../../src/wire/commands.js';
import { encodePacket } from '../../src/wire/framing.js';
import { breakOff } from './break-off.js';
import { exchange } from './conversation.js';
import { answerGreeting, CLIENT } from './raw-client.js';
import { recordedAs } from './server-set.js';
import type { Target } from './servers.js';
import { Peer } from './session-bench.js';

/** Far longer than any answer here takes. */
const SILENCE_MS = 60_000;
const PREPARED_MARK = 0x5a7e;

/** Stands for the id of the statement that `prepares` this number; each session has its own. */
export function idOfPrepared(number: number): number {
  return PREPARED_MARK * 0x10000 + number;
}

export interface TalkOptions {
  readonly user: string;
  readonly flags?: number;
  /** MariaDB's extended capabilities. */
  readonly mariadb?: number;
}

export type Reply = { readonly bytes: Buffer; readonly more?: true };

/** One thing to send, and how to go on. */
export interface Utterance {
  readonly bytes: Buffer;
  /**
   * Makes one that looks at each packet that comes and answers some: null says nothing and waits
   * for more, `more` says that this is not the last answer; the marker is sent with the last one.
   * Without it the marker is sent with the bytes.
   */
  readonly replier?: () => (packet: Buffer) => Reply | null;
  /** The number of the statement that it prepares. */
  readonly prepares?: number;
  /** The server closes behind its answer: no marker is sent. */
  readonly isLast?: true;
}

/** The packets of an answer, framed, and why there are no more. */
export interface Heard {
  readonly packets: readonly Buffer[];
  readonly ending: 'marker' | 'closed' | 'silence';
}

export class WireTalk {
  readonly #socket: Socket;
  #pieces: Buffer[] = [];
  #pendingBytes = 0;
  #wantedBytes = 4;
  /** What comes while nobody listens waits for the next who does: it would be a difference. */
  readonly #early: Buffer[] = [];
  #onPacket: (packet: Buffer) => void = (packet) => this.#early.push(packet);
  #onClosed: () => void = () => undefined;
  #isClosed = false;
  /** Ids of prepared statements, by their numbers. */
  readonly #prepared = new Map<number, number>();
  /** Agreed with the server. */
  flags = 0;
  mariadb = 0;
  threadId = 0;
  plugin = '';

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => this.#take(chunk));
    // What the other side does is seen by the close that follows.
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.#isClosed = true;
      this.#onClosed();
    });
  }

  /** Connects; the greeting hasn't been read. */
  static async connect(target: { readonly host: string; readonly port: number }) {
    const socket = net.connect(target.port, target.host);
    // The greeting may come with the connection: no byte before somebody listens.
    socket.pause();
    await once(socket, 'connect');
    return new WireTalk(socket);
  }

  /** Connects and logs in; rejects where the server refuses. */
  static async open(
    target: { readonly host: string; readonly port: number },
    options: TalkOptions,
  ): Promise<WireTalk> {
    const talk = await WireTalk.connect(target);
    await talk.logIn(options);
    return talk;
  }

  /** Answers the greeting. */
  async logIn(options: TalkOptions): Promise<void> {
    let refusal: string | null = null;
    await this.#listen((packet, done) => {
      const payload = packet.subarray(4);
      if (packet[3] === 0 && payload[0] !== 0xff) {
        const flags = CLIENT.LONG_FLAG | CLIENT.RESERVED | (options.flags ?? 0);
        const { response, ...agreed } = answerGreeting(payload, { ...options, flags });
        Object.assign(this, agreed);
        this.#socket.write(encodePacket(response, 1));
      } else if (payload[0] === 0xfe) {
        // Another plugin: the proof of an empty password is empty for each of them.
        this.#socket.write(encodePacket(Buffer.alloc(0), (packet[3] ?? 0) + 1));
      } else {
        if (payload[0] === 0xff) refusal = payload.subarray(3).toString();
        done();
      }
    });
    if (this.#isClosed && refusal === null) refusal = 'closed during the login';
    if (refusal !== null) throw new Error(`No login: ${refusal}`);
  }

  /** Sends, in pieces cut at `cuts`, and listens until the marker or the end. */
  async say(utterance: Utterance, nonce: string, cuts: readonly number[] = []): Promise<Heard> {
    const packets: Buffer[] = [];
    const { isLast } = utterance;
    const reply = utterance.replier?.();
    const marker = isLast === true ? Buffer.alloc(0) : this.marker(nonce);
    const heard = this.#listen((packet, done) => {
      packets.push(packet);
      if (isMarker(packet, nonce)) return done();
      const answer = reply?.(packet) ?? null;
      if (answer === null) return;
      const isComplete = answer.more !== true;
      this.#socket.write(isComplete ? Buffer.concat([answer.bytes, marker]) : answer.bytes);
    });
    const whole = reply === undefined ? [utterance.bytes, marker] : [utterance.bytes];
    await this.#send(this.#named(Buffer.concat(whole)), cuts);
    const { prepares } = utterance;
    const isSilent = await heard.then(
      () => false,
      () => true,
    );
    const [first] = packets;
    if (prepares !== undefined && first?.[4] === 0x00 && first.length >= 16) {
      this.#prepared.set(prepares, first.readUInt32LE(5));
    }
    const ending = isSilent ? 'silence' : this.#isClosed ? 'closed' : 'marker';
    return { packets, ending };
  }

  /** COM_QUERY of a syntax error, in the framing that was agreed. */
  marker(nonce: string): Buffer {
    const hasAttributes = (this.flags & caps.CLIENT_QUERY_ATTRIBUTES) !== 0;
    const head = hasAttributes ? [com.COM_QUERY, 0, 1] : [com.COM_QUERY];
    return encodePacket(Buffer.concat([Buffer.from(head), Buffer.from(nonce)]), 0);
  }

  /** Sends bytes and waits for nothing. */
  write(bytes: Buffer): void {
    this.#socket.write(bytes);
  }

  /** Resolves with the packets that still come, when the other side has closed. */
  async closed(): Promise<readonly Buffer[]> {
    const packets: Buffer[] = [];
    await this.#listen((packet) => packets.push(packet));
    return packets;
  }

  /** Breaks off, with a FIN. */
  destroy(): void {
    this.#socket.destroy();
  }

  /** Breaks off, with an RST. */
  reset(): void {
    breakOff(this.#socket);
  }

  /** Puts the session's own ids where numbers of prepared statements stand. */
  #named(said: Buffer): Buffer {
    const bytes = Buffer.from(said);
    const mark = Buffer.from([PREPARED_MARK & 0xff, PREPARED_MARK >> 8]);
    for (let at = bytes.indexOf(mark); at >= 2; at = bytes.indexOf(mark, at + 1)) {
      const id = this.#prepared.get(bytes.readUInt16LE(at - 2));
      if (id !== undefined) bytes.writeUInt32LE(id, at - 2);
    }
    return bytes;
  }

  async #send(bytes: Buffer, cuts: readonly number[]): Promise<void> {
    let from = 0;
    for (const cut of cuts) {
      if (cut <= from || cut >= bytes.length) continue;
      this.#socket.write(bytes.subarray(from, cut));
      from = cut;
      await new Promise(setImmediate);
    }
    this.#socket.write(bytes.subarray(from));
  }

  /** Each packet goes to `onPacket` until it calls `done`, or the connection is closed. */
  #listen(onPacket: (packet: Buffer, done: () => void) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('No answer came.')), SILENCE_MS);
      const done = (): void => {
        clearTimeout(timer);
        this.#onPacket = (packet) => this.#early.push(packet);
        this.#onClosed = () => undefined;
        resolve();
      };
      this.#onClosed = done;
      this.#onPacket = (packet) => onPacket(packet, done);
      for (const packet of this.#early.splice(0)) this.#onPacket(packet);
      if (this.#isClosed) done();
      this.#socket.resume();
    });
  }

  #take(chunk: Buffer): void {
    this.#pieces.push(chunk);
    this.#pendingBytes += chunk.length;
    if (this.#pendingBytes < this.#wantedBytes) return;
    let pending = this.#pieces.length === 1 ? chunk : Buffer.concat(this.#pieces);
    this.#wantedBytes = 4;
    while (pending.length >= 4) {
      const size = 4 + pending.readUIntLE(0, 3);
      if (pending.length < size) {
        this.#wantedBytes = size;
        break;
      }
      const packet = pending.subarray(0, size);
      pending = pending.subarray(size);
      this.#onPacket(packet);
    }
    this.#pieces = pending.length === 0 ? [] : [pending];
    this.#pendingBytes = pending.length;
  }
}

/** Not in a session that gets its errors in UTF-16: there they have no text. */
function isMarker(packet: Buffer, nonce: string): boolean {
  return packet[4] === 0xff && packet.length < 1024 && packet.includes(nonce);
}

/** A connection that has logged in as root, whose empty password needs no scramble, with EOFs. */
export async function openPeer(name: string, { host, port }: Pick<Target, 'host' | 'port'>) {
  const socket = net.connect({ host, port, noDelay: true });
  const peer = new Peer(socket);
  const greeting = await peer.packet();
  const [, response] = exchange(`${recordedAs(name)}/eof`, 'login').spoken;
  peer.send(response?.packet ?? Buffer.alloc(0));
  const answer = await peer.packet();
  if (answer[4] !== 0x00) throw new Error(answer.toString('latin1'));
  return { peer, threadId: greeting.readUInt32LE(greeting.indexOf(0, 5) + 1) };
}
