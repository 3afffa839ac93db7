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
import { agreedCapabilities, type Capabilities } from '../../src/wire/capabilities.js';
import { decodeHandshakeResponse41 } from '../../src/wire/connection/handshake-response41.js';
import { decodeHandshakeV10 } from '../../src/wire/connection/handshake-v10.js';
import { encodePacket, type Packet, PacketAssembler } from '../../src/wire/framing.js';
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
}

export interface WireTap extends Target {
  /** Events so far. */
  readonly count: number;
  /** From now on nothing is passed on and everything is cut. */
  cut(): void;
  close(): Promise<void>;
}

const PACKET_BYTES_MAX = 64 * 1024 * 1024;

/**
 * `onEvent` returns false to stop: from then on nothing is passed on. What it has not resolved yet
 * is held, and what comes behind it on that connection and in that direction.
 */
export async function wireTap(
  server: Target,
  onEvent: (event: TapEvent) => boolean | Promise<boolean>,
): Promise<WireTap> {
  const sockets = new Set<net.Socket>();
  let [count, connections] = [0, 0];
  let isCut = false;
  const event = async (
    moment: TapMoment,
    connection: number,
    command: Buffer,
  ): Promise<boolean> => {
    if (isCut) return false;
    count++;
    const text = command.subarray(0, 60).toString('latin1');
    const passes = onEvent({ moment, count, text, connection, command });
    if (passes === false || !(await passes)) isCut = true;
    return !isCut;
  };
  const listener = net.createServer((proxy) => {
    const upstream = net.connect(server.port, server.host);
    for (const socket of [proxy, upstream]) {
      sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => undefined);
      socket.on('close', () => sockets.delete(socket));
    }
    proxy.on('close', () => upstream.destroy());
    upstream.on('close', () => proxy.destroy());
    const connection = ++connections;
    const eventHere: OnEvent = (moment, command) => event(moment, connection, command);
    tapConnection(proxy, upstream, eventHere, () => isCut);
  });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { port } = listener.address() as net.AddressInfo;
  return {
    host: '127.0.0.1',
    port,
    user: server.user,
    password: server.password,
    get count() {
      return count;
    },
    cut: () => {
      isCut = true;
      for (const socket of sockets) socket.destroy();
    },
    close: async () => {
      for (const socket of sockets) socket.destroy();
      listener.close();
      await once(listener, 'close');
    },
  };
}

type OnEvent = (moment: TapMoment, command: Buffer) => Promise<boolean>;

function tapConnection(
  proxy: net.Socket,
  upstream: net.Socket,
  event: OnEvent,
  isCut: () => boolean,
): void {
  const fromProxy = new PacketAssembler(PACKET_BYTES_MAX);
  const fromServer = new PacketAssembler(PACKET_BYTES_MAX);
  let greeted: Capabilities | null = null;
  let agreed: Capabilities | null = null;
  let tracker: ResponseTracker | null = null;
  let answer: Buffer[] = [];
  let command: Buffer = Buffer.from('login');

  const onProxyPacket = async (packet: Packet): Promise<void> => {
    const framed = encodePacket(packet.payload, packet.sequenceId);
    if (agreed === null && greeted !== null) {
      agreed = agreedCapabilities(greeted, decodeHandshakeResponse41(packet.payload).capabilities);
    }
    if (packet.sequenceId === 0) {
      command = Buffer.from(packet.payload);
      tracker?.expect(packet.payload[0] ?? 0);
    }
    const own = command;
    if (!(await event('before statement', own))) return;
    upstream.write(framed);
    await event('after statement', own);
  };

  const onServerPacket = async (packet: Packet): Promise<void> => {
    const framed = encodePacket(packet.payload, packet.sequenceId);
    answer.push(framed);
    if (tracker !== null) {
      const before = tracker.responses;
      tracker.feed(framed);
      if (tracker.responses === before && !tracker.untracked) return;
    } else if (greeted === null && packet.payload[0] !== 0xff) {
      greeted = decodeHandshakeV10(packet.payload).capabilities;
    } else if (packet.payload[0] === 0x00 && agreed !== null) {
      tracker = new ResponseTracker(agreed);
    }
    const whole = Buffer.concat(answer);
    answer = [];
    if (!(await event('before answer', command))) return;
    proxy.write(whole);
    await event('after answer', command);
  };

  const pump = (assembler: PacketAssembler, take: (packet: Packet) => Promise<void>) => {
    let passing = Promise.resolve();
    const pass = async () => {
      for (let next = assembler.next(); next !== null && !isCut(); next = assembler.next()) {
        await take(next);
      }
    };
    return (chunk: Buffer) => {
      assembler.push(chunk);
      passing = passing.then(pass);
    };
  };
  proxy.on('data', pump(fromProxy, onProxyPacket));
  upstream.on('data', pump(fromServer, onServerPacket));
}
