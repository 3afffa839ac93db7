/**
 * The two connections of one session: the sockets to the client and to the server, the streams that
 * read and write them, the pumps in between, and TLS that is added to either within a login.
 *
 * Invariant: while TLS is being set up on one connection, nothing is read from the other, and no
 * bytes from outside TLS are passed on.
 */
import type { Socket } from 'node:net';
import { assert } from '../errors.js';
import { type ByteStream, catching, endSoon, Pump } from '../relay/byte-stream.js';
import { openByteStream } from '../relay/raw-handle.js';
import { abandonLogin } from './dial/abandon-login.js';
import type { Dialled } from './dial/dial.js';
import type { LoginRelay } from './login/login.js';
import type { ProxyTls } from './login/tls.js';

/** The connection of the client, and how TLS is laid over it. */
export interface ClientConnection {
  readonly client: Socket;
  /** Not read yet. */
  readonly clientStream: ByteStream;
  readonly tls: ProxyTls;
}

/** The session whose connections they are; none of its methods throws. */
interface ConnectionsOwner {
  onClientBytes(chunk: Buffer): void;
  onServerBytes(chunk: Buffer): void;
  /** `ended`: it sends no more, and reads on; `gone`: its socket is closed. */
  onClientLeft(how: 'ended' | 'gone'): void;
  onClientError(error: Error): void;
  /** Null: the server ended the connection without an error. */
  onServerEnd(error: Error | null): void;
  /** An event handler has thrown. */
  onThrown(thrown: unknown): void;
}

/** The connection to the server. */
interface Upstream {
  readonly socket: Socket;
  /** The socket beneath TLS, or the same. */
  readonly tcp: Socket;
  readonly stream: ByteStream;
  /** TLS is being set up: nothing can be sent. */
  readonly isBusy: boolean;
}

/** Events of the server's socket; the argument of `close` isn't an error. */
const SERVER_ENDS = ['end', 'close', 'error'];

export class SessionConnections {
  readonly #owner: ConnectionsOwner;
  readonly #tls: ProxyTls;
  #client: Socket;
  #clientStream: ByteStream;
  #upstream: Upstream | null = null;
  #toServer: Pump | null = null;
  #toClient: Pump | null = null;
  #isOver = false;
  /** A login to abandon once its TLS is there. */
  #left: LoginRelay | null = null;
  readonly #onClientEnd: () => void;
  readonly #onClientGone: () => void;
  readonly #onClientError: (error: Error) => void;
  readonly #onServerEnd: (cause?: unknown) => void;

  constructor({ client, clientStream, tls }: ClientConnection, owner: ConnectionsOwner) {
    this.#client = client;
    this.#owner = owner;
    this.#tls = tls;
    this.#clientStream = clientStream;
    const onThrown = (thrown: unknown) => owner.onThrown(thrown);
    this.#onClientEnd = catching(() => owner.onClientLeft('ended'), onThrown);
    this.#onClientGone = catching(() => owner.onClientLeft('gone'), onThrown);
    this.#onClientError = catching((error: Error) => owner.onClientError(error), onThrown);
    this.#onServerEnd = catching((cause?: unknown) => {
      owner.onServerEnd(cause instanceof Error ? cause : null);
    }, onThrown);
    this.#watchClient();
  }

  /** The protection of the client's socket, before any TLS. */
  get clientSecurity(): 'socket' | 'plain' {
    return this.#client.remoteAddress === undefined ? 'socket' : 'plain';
  }

  /** Begins to read the client. */
  start(): void {
    this.#clientStream.start((chunk) => this.#owner.onClientBytes(chunk));
  }

  /** Begins to read the server. */
  connect({ socket, stream }: Dialled): void {
    this.#upstream = { socket, tcp: socket, stream, isBusy: false };
    this.#pump(stream);
    this.#readServer(this.#upstream);
  }

  toClient(bytes: Buffer): void {
    this.#toClient?.write(bytes);
  }

  toServer(bytes: Buffer): void {
    this.#toServer?.write(bytes);
  }

  /** The pump of the client's bytes; TLS replaces it. */
  get clientPump(): Pump {
    assert(this.#toServer !== null, 'nothing is held before the server is dialled');
    return this.#toServer;
  }

  /**
   * TLS with the client. Resolves when it is set up, or the session is over; rejects if the client
   * refuses it.
   */
  async secureClient(clientHello: Buffer): Promise<void> {
    const plain = this.#client;
    this.#clientStream.detach();
    this.#upstream?.stream.pause();
    plain.off('end', this.#onClientEnd);
    plain.off('close', this.#onClientGone);
    this.#client = await this.#tls.accept(plain, clientHello);
    this.#watchClient();
    if (this.#isOver || this.#upstream === null) return endSoon(this.#client);
    this.#clientStream = openByteStream(this.#client);
    this.#pump(this.#upstream.stream);
    this.start();
    this.#upstream.stream.resume();
  }

  /**
   * The same with the server; rejects with UNDROP_UPSTREAM_TLS. If the session ends meanwhile, the
   * login is abandoned as soon as anything can be sent.
   */
  async secureServer({ socket, stream, address }: Dialled): Promise<void> {
    stream.detach();
    this.#clientStream.pause();
    this.#upstream = { socket, tcp: socket, stream, isBusy: true };
    for (const event of SERVER_ENDS) socket.off(event, this.#onServerEnd);
    socket.on('error', () => undefined);
    const { socket: secured, distrust } = await this.#tls.connect(socket, address);
    const securedStream = openByteStream(secured);
    this.#upstream = { socket: secured, tcp: socket, stream: securedStream, isBusy: false };
    this.#pump(securedStream);
    if (this.#isOver) return this.leaveServer(this.#left);
    this.#readServer(this.#upstream);
    if (distrust !== null) throw distrust;
    this.#clientStream.resume();
  }

  /** The session is over: both sides are read to their end, and nothing is held back. */
  letGo(): void {
    this.#isOver = true;
    this.#toServer?.letGo();
    this.#toClient?.letGo();
  }

  endServer(): void {
    this.#upstream?.socket.end();
  }

  /** Without the close_notify of TLS, because a waiting server would not see the end after it. */
  endServerAtOnce(): void {
    this.#upstream?.tcp.end();
  }

  /** The client gets all bytes sent so far, then `finalPacket`, then the end. */
  endClient(finalPacket: Buffer | null = null): void {
    if (finalPacket !== null && this.#client.writable) this.#client.write(finalPacket);
    endSoon(this.#client);
  }

  /** The server gets all bytes sent so far, then the end; in a login it ends by its own refusal. */
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

  #readServer({ socket, stream }: Upstream): void {
    for (const event of SERVER_ENDS) socket.on(event, this.#onServerEnd);
    stream.start((chunk) => this.#owner.onServerBytes(chunk));
  }

  #watchClient(): void {
    this.#client.on('error', this.#onClientError);
    this.#client.on('end', this.#onClientEnd);
    this.#client.on('close', this.#onClientGone);
  }
}
