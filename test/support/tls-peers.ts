/** TLS on either end of a connection of the bench, laid over it in the middle of a login. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import tls from 'node:tls';
import { Peer } from './session-bench.js';

/**
 * Begins TLS as a client. `first`: goes out before the ClientHello, in one write with it; `cut`
 * cuts what the handshake writes into pieces of so many bytes.
 */
export async function startTls(
  peer: Peer,
  options: { readonly first?: Buffer; readonly cut?: number } = {},
): Promise<Peer> {
  const wire = new Wire(peer.handOver(), options);
  const socket = tls.connect({ socket: wire, rejectUnauthorized: false });
  await once(socket, 'secureConnect');
  return new Peer(socket);
}

/** Begins TLS as a server. */
export async function acceptTls(
  peer: Peer,
  files: { readonly cert: string; readonly key: string },
): Promise<Peer> {
  const [cert, key] = [readFileSync(files.cert), readFileSync(files.key)];
  const secureContext = tls.createSecureContext({ cert, key });
  const socket = new tls.TLSSocket(peer.handOver(), { isServer: true, secureContext });
  await once(socket, 'secure');
  return new Peer(socket);
}

/** A socket whose writes can be joined and cut. */
class Wire extends Duplex {
  readonly #socket: Socket;
  readonly #cut: number;
  #first: Buffer;

  constructor(socket: Socket, options: { readonly first?: Buffer; readonly cut?: number }) {
    super({ allowHalfOpen: true });
    this.#socket = socket;
    this.#cut = options.cut ?? Number.POSITIVE_INFINITY;
    this.#first = options.first ?? Buffer.alloc(0);
    socket.on('data', (chunk) => this.push(chunk));
    socket.on('end', () => this.push(null));
    socket.on('error', (error) => this.destroy(error));
    socket.on('close', () => this.destroy());
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    const bytes = Buffer.concat([this.#first, chunk]);
    this.#first = Buffer.alloc(0);
    this.#send(bytes, done);
  }

  override _final(done: () => void): void {
    this.#socket.end();
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#socket.destroy();
    done(error);
  }

  /** Each piece in a turn of its own, so that it is a segment of its own. */
  #send(bytes: Buffer, done: () => void): void {
    if (bytes.length === 0) return done();
    const size = Math.min(this.#cut, bytes.length);
    this.#socket.write(bytes.subarray(0, size), () => {
      setImmediate(() => this.#send(bytes.subarray(size), done));
    });
  }
}
