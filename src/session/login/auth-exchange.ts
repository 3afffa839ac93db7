/**
 * An authentication, at login or by COM_CHANGE_USER: packets go to and fro until the server sends
 * OK or ERR. Any plugin with any number of rounds works, empty packets too. Only a bridge
 * (session/login/auth-bridge.ts) ever changes one; without a bridge a COM_CHANGE_USER passes
 * unread, like any command.
 * https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_change_user.html
 *
 * Invariants: each connection counts its own sequence ids. A command that the client sends ahead of
 * the OK waits for it; a response ahead of its request is refused.
 */
import { UndropError } from '../../errors.js';
import * as com from '../../wire/commands.js';
import { type ComChangeUser, decodeComChangeUser } from '../../wire/connection/auth-packets.js';
import { encodePacket, GrowingBuffer, type Packet, PacketAssembler } from '../../wire/framing.js';
import { MalformedPacketError } from '../../wire/packet-reader.js';
import { type AuthBridge, onward } from './auth-bridge.js';
import type { LoginCheck } from './login-check.js';

/**
 * Bytes of one packet before an authentication is complete: a client that isn't authenticated costs
 * at most 128 KiB, and a packet may be held twice.
 */
export const AUTH_BYTES_MAX = 48 * 1024;
/** Bytes that the client may send ahead of the OK. */
const AHEAD_BYTES_MAX = 32 * 1024;

/** The connections of a session. */
export interface BothEnds {
  toClient(bytes: Buffer): void;
  toServer(bytes: Buffer): void;
}

/** Bytes of either side that are handed over. */
export interface Rests {
  readonly fromServer: Buffer;
  readonly fromClient: Buffer;
}

export interface AuthExchangeOptions {
  /** Null if both connections are equally secure. */
  readonly bridge: AuthBridge | null;
  /** Runs before the server's OK goes on; null for nothing. */
  readonly check: LoginCheck | null;
  /** The next sequence ids on both connections; the server's turn is first. */
  readonly nextToClient: number;
  readonly nextToServer: number;
  readonly connections: BothEnds;
}

export class AuthExchange {
  readonly #options: AuthExchangeOptions;
  readonly #parked = new GrowingBuffer({ usefulBytes: AHEAD_BYTES_MAX });
  /** The server's OK, which waits for the check. */
  #ok: Packet | null = null;
  /** The server has sent a request without a response yet. */
  waitsForClient = false;
  /** The server's OK or ERR, once it has come. */
  last: Buffer = Buffer.alloc(0);
  #nextToClient: number;
  #nextToServer: number;
  /** Sequence id on the server's connection minus the one on the client's. */
  #offset: number;

  constructor(options: AuthExchangeOptions) {
    this.#options = options;
    this.#nextToClient = options.nextToClient;
    this.#nextToServer = options.nextToServer;
    this.#offset = options.nextToServer - options.nextToClient;
  }

  /** Sequence id of an error of undrop in place of the next packet. */
  get nextToClient(): number {
    return this.#nextToClient & 0xff;
  }

  /** Commands that wait, as they came. */
  get parked(): Buffer {
    return this.#parked.bytes;
  }

  /** True if the client has the server's OK or its ERR: the authentication is over. */
  fromServer(packet: Packet): boolean {
    const { check, connections } = this.#options;
    const ok = this.#ok;
    if (ok !== null && check !== null) return check.passes(packet.payload) && this.#pass(ok);
    if (check === null || packet.payload[0] !== 0x00) return this.#pass(packet);
    this.waitsForClient = false;
    this.#ok = { ...packet, payload: Buffer.from(packet.payload) };
    connections.toServer(check.question);
    return false;
  }

  #pass(packet: Packet): boolean {
    const { bridge, connections } = this.#options;
    this.waitsForClient = true;
    this.#nextToServer = packet.sequenceId + 1;
    const step = bridge?.fromServer(packet.payload) ?? onward(packet.payload);
    if (step.to === 'sender') {
      this.#send(step.payload, this.#nextToServer);
      this.#offset += 2;
      return false;
    }
    // 0 is an ERR for which the server starts counting over (a shutdown).
    const sequenceId = packet.sequenceId === 0 ? 0 : packet.sequenceId - this.#offset;
    connections.toClient(encodePacket(step.payload, sequenceId));
    this.#nextToClient = sequenceId + 1;
    const isOver = packet.payload[0] === 0x00 || packet.payload[0] === 0xff;
    this.waitsForClient = !isOver && !isFastAuthOk(packet.payload);
    if (isOver) this.last = packet.payload;
    return isOver;
  }

  fromClient(packet: Packet): void {
    if (packet.sequenceId === 0) return this.#park(packet);
    if (!this.waitsForClient) {
      // In every plugin the two sides take turns.
      throw new MalformedPacketError(
        'the client sent a login packet before the server requested one',
      );
    }
    const { bridge, connections } = this.#options;
    const expected = this.nextToClient;
    this.#nextToClient = packet.sequenceId + 1;
    checkOrder(packet, expected);
    const step = bridge?.fromClient(packet.payload) ?? onward(packet.payload);
    if (step.to === 'peer') return this.#send(step.payload, packet.sequenceId + this.#offset);
    connections.toClient(encodePacket(step.payload, this.#nextToClient));
    this.#nextToClient++;
    this.#offset -= 2;
  }

  /** The client has gone: if the server waits for a response, it gets an empty one. */
  leave(): void {
    const { bridge, connections } = this.#options;
    bridge?.wipe();
    if (this.#ok !== null) connections.toServer(encodePacket(Buffer.of(com.COM_QUIT), 0));
    else if (this.waitsForClient) this.#send(Buffer.alloc(0), this.#nextToServer);
  }

  /** A packet for the server may contain a password: it is wiped where it was read. */
  #send(payload: Buffer, sequenceId: number): void {
    const framed = encodePacket(payload, sequenceId);
    payload.fill(0);
    this.waitsForClient = false;
    this.#nextToServer = sequenceId + 1;
    this.#options.connections.toServer(framed);
  }

  #park({ payload, sequenceId }: Packet): void {
    const framed = encodePacket(payload, sequenceId);
    const bytes = this.#parked.length + framed.length;
    if (bytes > AHEAD_BYTES_MAX) {
      throw new UndropError('UNDROP_PACKET_TOO_LARGE', { bytes, bytesMax: AHEAD_BYTES_MAX });
    }
    this.#parked.push(framed);
  }
}

/**
 * A packet that the server would count as a broken handshake (abandon-login.ts) doesn't reach it.
 */
export function checkOrder({ sequenceId }: Packet, expected: number): void {
  if (sequenceId === expected) return;
  throw new MalformedPacketError(
    `expected sequence id ${expected} in the login, got ${sequenceId}`,
  );
}

/** caching_sha2_password: the hash was right, and the OK follows without a response. */
export function isFastAuthOk(payload: Buffer): boolean {
  return payload.length === 2 && payload[0] === 0x01 && payload[1] === 0x03;
}

export interface ChangeUserOptions extends Pick<AuthExchangeOptions, 'check' | 'connections'> {
  /** The client's command. */
  readonly packet: Packet;
  readonly bridge: AuthBridge;
  /** The client got `last`, the server's OK or ERR. */
  onDone(last: Buffer, rests: Rests): void;
}

export class ChangeUser {
  readonly #options: ChangeUserOptions;
  readonly #command: ComChangeUser;
  readonly #fromServer = new PacketAssembler(AUTH_BYTES_MAX);
  readonly #fromClient = new PacketAssembler(AUTH_BYTES_MAX);
  /** Null before it begins, and after it is over. */
  #exchange: AuthExchange | null = null;

  constructor(options: ChangeUserOptions) {
    this.#options = options;
    this.#command = decodeComChangeUser(options.packet.payload);
  }

  /** The default schema that the client requests, in its charset. */
  get schema(): Buffer {
    return this.#command.schema;
  }

  /** Sequence id of an error of undrop in place of the next packet. */
  get nextToClient(): number {
    return this.#exchange?.nextToClient ?? 1;
  }

  begin(): void {
    const { bridge, packet, connections } = this.#options;
    const { plugin, authResponse } = this.#command;
    bridge.restart(plugin);
    bridge.fromClientFirst(authResponse);
    this.#exchange = new AuthExchange({ ...this.#options, nextToClient: 1, nextToServer: 1 });
    connections.toServer(encodePacket(packet.payload, 0));
    authResponse.fill(0);
  }

  feedServer(chunk: Buffer): void {
    this.#fromServer.push(chunk);
    while (this.#exchange !== null) {
      const packet = this.#fromServer.next();
      if (packet === null) return;
      if (this.#exchange.fromServer(packet)) this.#finish(this.#exchange);
    }
  }

  feedClient(chunk: Buffer): void {
    this.#fromClient.push(chunk);
    while (this.#exchange !== null) {
      const packet = this.#fromClient.next();
      if (packet === null) return;
      this.#exchange.fromClient(packet);
    }
  }

  /** The session ended. */
  leave(): void {
    this.#options.bridge.wipe();
  }

  #finish(exchange: AuthExchange): void {
    this.#exchange = null;
    const fromClient = Buffer.concat([exchange.parked, this.#fromClient.take()]);
    const last = encodePacket(exchange.last, exchange.nextToClient - 1);
    this.#options.onDone(last, { fromServer: this.#fromServer.take(), fromClient });
  }
}
