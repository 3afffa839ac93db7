/**
 * A tap on the wire between a proxy and its server, on all its connections: it sees each statement
 * and each answer, counts them, and calls `onEvent` before and after each is passed on. Placed by
 * the test, unknown to the product.
 *
 * An answer is kept back until all of it is there, so that "before the answer" means that the
 * server has executed the statement and the proxy doesn't know.
 */
import { once } from 'node:events';
import net from 'node:net';
import { ResponseTracker } from '../../src/relay/response-tracker.js';
import * as caps from '../../src/wire/capabilities.js';
import { decodeHandshakeResponse41 } from '../../src/wire/connection/handshake-response41.js';
import { decodeHandshakeV10 } from '../../src/wire/connection/handshake-v10.js';
import { encodePacket, type Packet, PacketAssembler } from '../../src/wire/framing.js';
import { greetingWith, payload } from './conversation.js';
import { portOf } from './poll.js';
import type { Target } from './servers.js';

export type TapMoment = 'before statement' | 'after statement' | 'before answer' | 'after answer';

export interface TapEvent {
  readonly moment: TapMoment;
  /** From 1, over all connections. */
  readonly count: number;
  /** The statement's beginning, for messages. */
  readonly text: string;
  /** Which of the connections, from 1. */
  readonly connection: number;
  /** The command, whole: its byte and what follows. */
  readonly command: Buffer;
  /** Who logs in, or has logged in, on this connection. */
  readonly user: string;
}

/**
 * It is passed on; nothing is any more; its connection alone is cut; `before answer`: the last
 * packet of the answer has this payload.
 */
export type TapVerdict = boolean | 'cut' | { readonly ends: Buffer };

export type WireTap = Awaited<ReturnType<typeof wireTap>>;

/** `gate`: a new connection waits for it. */
export type TapOptions = { readonly gate?: () => Promise<void> };

const PACKET_BYTES_MAX = 64 * 1024 * 1024;

/**
 * `onEvent` returns false to stop: from then on nothing is passed on. What it has not resolved yet
 * is held, and what comes behind it on that connection and in that direction.
 */
export async function wireTap(
  server: Target,
  onEvent: (event: TapEvent) => TapVerdict | Promise<TapVerdict>,
  { gate }: TapOptions = {},
) {
  const tapped = new Set<Tapped>();
  let [count, connections] = [0, 0];
  let isCut = false;
  const decide = async (event: Omit<TapEvent, 'count' | 'text'>): Promise<TapVerdict> => {
    if (isCut) return false;
    count++;
    const text = event.command.subarray(0, 60).toString('latin1');
    const saying = onEvent({ ...event, count, text });
    const verdict = saying instanceof Promise ? await saying : saying;
    if (verdict === false) isCut = true;
    return isCut ? false : verdict;
  };
  const take = async (proxy: net.Socket): Promise<void> => {
    proxy.on('error', () => undefined);
    await gate?.();
    if (proxy.destroyed) return;
    const connection = new Tapped(proxy, server, { number: ++connections, decide });
    tapped.add(connection);
    proxy.on('close', () => tapped.delete(connection));
  };
  const listener = net.createServer((proxy) => void take(proxy));
  const port = await portOf(listener);
  const close = async () => {
    for (const connection of tapped) connection.destroy();
    await once(listener.close(), 'close');
  };
  const { user, password } = server;
  return {
    ...{ host: '127.0.0.1', port, user, password },
    /** Events so far. */
    get count() {
      return count;
    },
    /** From now on nothing is passed on and everything is cut. */
    cut: () => {
      isCut = true;
      for (const connection of tapped) connection.destroy();
    },
    /** Cuts the connections of those users, by default of all; new ones are taken as before. */
    sever: (isMeant: (user: string) => boolean = () => true) => {
      for (const connection of tapped) if (isMeant(connection.user)) connection.destroy();
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

interface TappedOptions {
  readonly number: number;
  readonly decide: (event: Omit<TapEvent, 'count' | 'text'>) => Promise<TapVerdict>;
}

/** One connection of the proxy, and the one to the server that stands for it. */
class Tapped {
  readonly #proxy: net.Socket;
  readonly #upstream: net.Socket;
  readonly #options: TappedOptions;
  #greeted: caps.Capabilities | null = null;
  #agreed: caps.Capabilities | null = null;
  #tracker: ResponseTracker | null = null;
  #answer: Buffer[] = [];
  #command: Buffer = Buffer.from('login');
  #user = '';
  #isOver = false;

  constructor(proxy: net.Socket, server: Target, options: TappedOptions) {
    this.#proxy = proxy;
    this.#upstream = net.connect(server.port, server.host);
    this.#options = options;
    for (const socket of [proxy, this.#upstream]) {
      socket.setNoDelay(true);
      socket.on('error', () => undefined);
      socket.on('close', () => this.destroy());
    }
    proxy.on(
      'data',
      this.#pump((packet) => this.#onProxyPacket(packet)),
    );
    this.#upstream.on(
      'data',
      this.#pump((packet) => this.#onServerPacket(packet)),
    );
  }

  /** Empty before its login. */
  get user(): string {
    return this.#user;
  }

  destroy(): void {
    this.#isOver = true;
    this.#proxy.destroy();
    this.#upstream.destroy();
  }

  #pump(take: (packet: Packet) => Promise<void>): (chunk: Buffer) => void {
    const assembler = new PacketAssembler(PACKET_BYTES_MAX);
    let passing = Promise.resolve();
    const pass = async () => {
      for (let next = assembler.next(); next !== null && !this.#isOver; next = assembler.next()) {
        await take(next);
      }
    };
    return (chunk) => {
      assembler.push(chunk);
      passing = passing.then(pass);
    };
  }

  async #onProxyPacket(packet: Packet): Promise<void> {
    const framed = encodePacket(packet.payload, packet.sequenceId);
    if (this.#agreed === null && this.#greeted !== null) {
      const { capabilities, user } = decodeHandshakeResponse41(packet.payload);
      this.#agreed = caps.agreedCapabilities(this.#greeted, capabilities);
      this.#user = user;
    }
    if (packet.sequenceId === 0) {
      this.#command = Buffer.from(packet.payload);
      this.#tracker?.expect(packet.payload[0] ?? 0);
    }
    const own = this.#command;
    if (!(await this.#goesOn('before statement', own))) return;
    this.#upstream.write(framed);
    await this.#goesOn('after statement', own);
  }

  async #onServerPacket(packet: Packet): Promise<void> {
    const isGreeting = this.#greeted === null && packet.payload[0] !== 0xff;
    const sent = encodePacket(packet.payload, packet.sequenceId);
    // In TLS nobody could read along.
    const framed = isGreeting ? greetingWith(sent, false) : sent;
    this.#answer.push(framed);
    const tracker = this.#tracker;
    if (tracker !== null) {
      const before = tracker.responses;
      tracker.feed(framed);
      if (tracker.responses === before && !tracker.untracked) return;
    } else if (isGreeting) {
      this.#greeted = decodeHandshakeV10(payload(framed)).capabilities;
    } else if (packet.payload[0] === 0x00 && this.#agreed !== null) {
      this.#tracker = new ResponseTracker(this.#agreed);
    }
    const whole = Buffer.concat(this.#answer);
    this.#answer = [];
    const goesOn = await this.#goesOn('before answer', this.#command);
    if (goesOn === false) return;
    if (goesOn === true) this.#proxy.write(whole);
    else {
      const last = encodePacket(goesOn.ends, packet.sequenceId);
      this.#proxy.write(Buffer.concat([whole.subarray(0, whole.length - framed.length), last]));
    }
    await this.#goesOn('after answer', this.#command);
  }

  async #goesOn(moment: TapMoment, command: Buffer): Promise<boolean | { readonly ends: Buffer }> {
    const { number, decide } = this.#options;
    const verdict = await decide({ moment, connection: number, command, user: this.#user });
    if (verdict === 'cut') this.destroy();
    if (verdict === false) this.#isOver = true;
    return typeof verdict === 'object' && !this.#isOver
      ? verdict
      : verdict === true && !this.#isOver;
  }
}
