/**
 * The two connections of one session: the sockets to the client and to the server, the streams
 * that read and write them, the pumps between, and TLS laid over either in the middle of a login.
 *
 * Invariant: while TLS is being set up on one connection, nothing is read from the other, and
 * nothing that came outside of TLS is handed on.
 */
import type { Socket } from 'node:net';
import { type ByteStream, openByteStream, Pump } from '../relay/byte-stream.js';
import { behindDoor, endSoon } from '../relay/sockets.js';
import { HEADER_BYTES } from '../wire/framing.js';
import { abandonLogin } from './dial/abandon-login.js';
import type { Dialled } from './dial/dial.js';
import type { LoginRelay } from './login/login.js';
import type { ProxyTls } from './login/tls.js';

export interface ConnectionsOwner {
  readonly tls: ProxyTls;
  onClientBytes(chunk: Buffer): void;
  onServerBytes(chunk: Buffer): void;
  /** The client will send no more. */
  onClientEnd(): void;
  onClientError(error: Error): void;
  /** The client's socket is gone. */
  onClientGone(): void;
  /** The server ended the connection, or broke it off. May be told several times. */
  onServerEnd(error: Error | null): void;
  /** One of these threw. */
  onThrown(thrown: unknown): void;
}

/** The connection to the server. */
interface Upstream {
  readonly socket: Socket;
  readonly stream: ByteStream;
  /** TLS is being set up: nothing can be said on it. */
  readonly isBusy: boolean;
}

export class SessionConnections {
  readonly #owner: ConnectionsOwner;
  #client: Socket;
  #clientStream: ByteStream;
  #upstream: Upstream | null = null;
  #toServer: Pump | null = null;
  #toClient: Pump | null = null;
  /** Null where the session has no note that it says as a warning. */
  #note: NoteOfAbsent | null = null;
  #isOver = false;
  /** A login that is to be left when its TLS is there. */
  #left: LoginRelay | null = null;
  readonly #onClientEnd: () => void;
  readonly #onClientGone: () => void;
  readonly #onClientError: (error: Error) => void;
  /** By 'end', 'error' and 'close', whose argument is no error. */
  readonly #onServerEnd: (cause?: unknown) => void;

  constructor(client: Socket, stream: ByteStream, owner: ConnectionsOwner) {
    this.#client = client;
    this.#owner = owner;
    this.#clientStream = stream;
    const { onThrown } = owner;
    this.#onClientEnd = behindDoor(owner.onClientEnd, onThrown);
    this.#onClientGone = behindDoor(owner.onClientGone, onThrown);
    this.#onClientError = behindDoor(owner.onClientError, onThrown);
    const onServerEnd = (cause?: unknown) =>
      owner.onServerEnd(cause instanceof Error ? cause : null);
    this.#onServerEnd = behindDoor(onServerEnd, onThrown);
    this.#watchClient();
  }

  /** Whether the client came by a unix socket. */
  get clientIsLocal(): boolean {
    return this.#client.remoteAddress === undefined;
  }

  /** Begins to read the client. */
  start(): void {
    this.#clientStream.start((chunk) => this.#owner.onClientBytes(chunk));
  }

  /** Begins to read the server. */
  connect({ socket, stream }: Dialled): void {
    this.#upstream = { socket, stream, isBusy: false };
    this.#watchUpstream(socket);
    this.#pump(stream);
    this.#readServer(stream);
  }

  toClient(bytes: Buffer): void {
    this.#toClient?.write(this.#note === null ? bytes : this.#note.reworded(bytes));
  }

  /** The session has been made to say a note as a warning: SHOW WARNINGS comes next, if at all. */
  expectNote(): void {
    this.#note = new NoteOfAbsent();
  }

  toServer(bytes: Buffer): void {
    this.#toServer?.write(bytes);
  }

  whenSent(run: () => void): void {
    this.#toServer?.whenEmpty(run);
  }

  holdClient(): void {
    this.#toServer?.hold();
  }

  releaseClient(): void {
    this.#toServer?.release();
  }

  /**
   * TLS with the client. Resolves when it is there, or the session is over; rejects where the
   * client won't have it.
   */
  async secureClient(clientHello: Buffer): Promise<void> {
    const plain = this.#client;
    this.#clientStream.detach();
    this.#upstream?.stream.pause();
    plain.off('end', this.#onClientEnd);
    plain.off('close', this.#onClientGone);
    this.#client = await this.#owner.tls.accept(plain, clientHello);
    this.#watchClient();
    if (this.#isOver || this.#upstream === null) return endSoon(this.#client);
    this.#clientStream = openByteStream(this.#client);
    this.#pump(this.#upstream.stream);
    this.start();
    this.#upstream.stream.resume();
  }

  /**
   * The same with the server that was dialled; rejects with UNDROP_UPSTREAM_TLS. Where the session
   * is over meanwhile, the login is left as soon as anything can be said on it.
   */
  async secureServer({ socket, stream, address }: Dialled): Promise<void> {
    stream.detach();
    this.#clientStream.pause();
    this.#upstream = { socket, stream, isBusy: true };
    for (const event of ['end', 'close', 'error']) socket.off(event, this.#onServerEnd);
    socket.on('error', () => undefined);
    const { socket: secured, distrust } = await this.#owner.tls.connect(socket, address);
    const securedStream = openByteStream(secured);
    this.#upstream = { socket: secured, stream: securedStream, isBusy: false };
    this.#pump(securedStream);
    if (this.#isOver) return this.leaveServer(this.#left);
    this.#watchUpstream(secured);
    this.#readServer(securedStream);
    if (distrust !== null) throw distrust;
    this.#clientStream.resume();
  }

  /** The session is over: both sides are read to their end, and nothing is held any more. */
  letGo(): void {
    this.#isOver = true;
    this.#toServer?.release();
    this.#toClient?.release();
  }

  endServer(): void {
    this.#upstream?.socket.end();
  }

  /** The client gets what was sent to it, then `lastWords`, then its end. */
  endClient(lastWords: Buffer | null = null): void {
    if (lastWords !== null && this.#client.writable) this.#client.write(lastWords);
    endSoon(this.#client);
  }

  /** The server gets what was sent to it, then its end; in a login by its own refusal. */
  leaveServer(relay: LoginRelay | null): void {
    const upstream = this.#upstream;
    if (upstream === null) return;
    if (relay === null) return endSoon(upstream.socket);
    if (upstream.isBusy) this.#left = relay;
    else abandonLogin({ ...upstream, relay });
  }

  destroyServer(): void {
    this.#upstream?.socket.destroy();
  }

  destroy(): void {
    this.#client.destroy();
    this.destroyServer();
  }

  #pump(server: ByteStream): void {
    this.#toServer = new Pump(this.#clientStream, server);
    this.#toClient = new Pump(server, this.#clientStream);
  }

  #readServer(stream: ByteStream): void {
    stream.start((chunk) => this.#owner.onServerBytes(chunk));
  }

  #watchClient(): void {
    this.#client.on('error', this.#onClientError);
    this.#client.on('end', this.#onClientEnd);
    this.#client.on('close', this.#onClientGone);
  }

  #watchUpstream(upstream: Socket): void {
    for (const event of ['end', 'close', 'error']) upstream.on(event, this.#onServerEnd);
  }
}

/** A row of SHOW WARNINGS, from its first value on: each with its length before it. */
const SAID = Buffer.from('\x07Warning\x041008');
const MEANT = Buffer.from('\x04Note\x041008');
/** Who asks for warnings asks at once. */
const CHUNKS_MAX = 16;

/**
 * The note 1008 of a DROP DATABASE IF EXISTS of a schema that isn't there. The session could be
 * made to say it as a warning only; in the answer to the next SHOW WARNINGS it is a note again.
 * Invariant: nothing else is changed.
 */
export class NoteOfAbsent {
  #chunksLeft = CHUNKS_MAX;

  /** What goes to the client; a row that is split between two chunks stays as it is. */
  reworded(chunk: Buffer): Buffer {
    if (this.#chunksLeft === 0) return chunk;
    this.#chunksLeft--;
    const at = chunk.indexOf(SAID);
    const start = at - HEADER_BYTES;
    if (start < 0 || !isRow(chunk, start, at + SAID.length)) return chunk;
    const head = Buffer.from(chunk.subarray(0, at));
    head.writeUIntLE(head.readUIntLE(start, 3) - SAID.length + MEANT.length, start, 3);
    return Buffer.concat([head, MEANT, chunk.subarray(at + SAID.length)]);
  }
}

/** Whether the packet at `start` is a row that ends with the one value at `last`: its message. */
function isRow(chunk: Buffer, start: number, last: number): boolean {
  const length = chunk[last];
  if (length === undefined) return false;
  return chunk.readUIntLE(start, 3) === last + 1 + length - (start + HEADER_BYTES);
}
