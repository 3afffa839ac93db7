/**
 * A side of a session as chunks with back-pressure, and the pump that carries one direction of a
 * session from one side to the other. A side is a raw handle (raw-handle.ts), or the stream of a
 * socket without one. The hot path, nothing else.
 *
 * Invariant: a pump keeps no bytes, and while its sink is full, its source is not read.
 */
import type { Socket } from 'node:net';
import { InvariantError } from '../errors.js';

export interface ByteStream {
  /** Called when the sink has taken a write that it couldn't take at once. */
  onDrain: () => void;
  /**
   * Begins to read; a second call replaces the reader. A chunk is the stream's own memory: it is
   * valid during the call, and for bytes passed to another stream's `write`, until that stream has
   * drained. A reader that keeps bytes must copy them.
   */
  start(onChunk: (chunk: Buffer) => void): void;
  /** False: the bytes are on their way; pause their source until `onDrain`. */
  write(bytes: Buffer): boolean;
  pause(): void;
  resume(): void;
  /** Hands the socket over (to TLS): this stream no longer reads, writes or gets events. */
  detach(): void;
}

/** ByteStream by the socket's documented events. */
export class SocketStream implements ByteStream {
  onDrain: () => void = () => undefined;
  readonly #socket: Socket;
  readonly #onThrown = (thrown: unknown): void => endByThrown(this.#socket, thrown);
  readonly #onDrain = catching(() => this.onDrain(), this.#onThrown);
  #onChunk: ((chunk: Buffer) => void) | null = null;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('drain', this.#onDrain);
  }

  start(onChunk: (chunk: Buffer) => void): void {
    if (this.#onChunk !== null) this.#socket.off('data', this.#onChunk);
    this.#onChunk = catching(onChunk, this.#onThrown);
    this.#socket.on('data', this.#onChunk);
    this.#socket.resume();
  }

  write(bytes: Buffer): boolean {
    const socket = this.#socket;
    if (!socket.writable) return true;
    // The stream keeps a queued write by reference, yet may return true.
    return socket.write(socket.writableLength > 0 ? Buffer.from(bytes) : bytes);
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  detach(): void {
    this.#socket.off('drain', this.#onDrain);
    if (this.#onChunk !== null) this.#socket.off('data', this.#onChunk);
    this.#socket.pause();
  }
}

export class Pump {
  readonly #source: ByteStream;
  readonly #sink: ByteStream;
  #held = false;
  #sinkFull = false;
  readonly #onEmpty: (() => void)[] = [];

  constructor(source: ByteStream, sink: ByteStream) {
    this.#source = source;
    this.#sink = sink;
    sink.onDrain = () => {
      this.#sinkFull = false;
      this.#callBack();
      if (!this.#held) this.#source.resume();
    };
  }

  #callBack(): void {
    for (const run of this.#onEmpty.splice(0)) run();
  }

  write(bytes: Buffer): void {
    if (bytes.length === 0 || this.#sink.write(bytes)) return;
    this.#sinkFull = true;
    this.#source.pause();
  }

  /** Calls back, now or later, when the sink has taken all bytes. */
  whenEmpty(run: () => void): void {
    if (this.#sinkFull) this.#onEmpty.push(run);
    else run();
  }

  /** Stops reading the source until `release`. */
  hold(): void {
    this.#held = true;
    this.#source.pause();
  }

  /**
   * Resumes reading once the sink has room, because bytes that it still has to send are in the
   * source's memory.
   */
  release(): void {
    this.#held = false;
    if (!this.#sinkFull) this.#source.resume();
  }

  /** The session is over: nobody waits for the sink any more. */
  letGo(): void {
    this.release();
    this.#callBack();
  }
}

// ── sockets ─────────────────────────────────────────────────────────────────────────────────────

/**
 * `run`, with `onThrown` as the handler of its errors: Node.js calls a session by an event of a
 * socket, by a timer or by a socket's handle, and an error that no caller catches would end the
 * process with all its sessions. Invariant: an error in one connection ends that connection, with a
 * line in the log, and no other.
 */
export function catching<A extends readonly unknown[]>(
  run: (...args: A) => void,
  onThrown: (thrown: unknown) => void,
): (...args: A) => void {
  return (...args) => {
    try {
      run(...args);
    } catch (error) {
      onThrown(error);
    }
  };
}

/** Ends the socket with an 'error' event that its owner can tell from a network error. */
export function endByThrown(socket: Socket, thrown: unknown): void {
  socket.destroy(
    new InvariantError('nothing is thrown at the door of a socket', { cause: thrown }),
  );
}

/** The time that a socket has to send its remaining bytes after its other side has gone. */
export const LAME_DUCK_MS = 5_000;

/**
 * Options of the TCP sockets to clients and servers. The kernel detects a peer that vanished
 * silently (a firewall that forgot the connection, a machine without power); after a first silent
 * minute the intervals are the system's.
 */
export const KEEP_ALIVE = {
  noDelay: true,
  keepAlive: true,
  keepAliveInitialDelay: 60_000,
} as const;

/**
 * Sends the remaining bytes and the end; destroys the socket after a moment, whatever the peer
 * does.
 */
export function endSoon(socket: Socket): void {
  if (socket.destroyed) return;
  socket.end();
  const timer = setTimeout(() => socket.destroy(), LAME_DUCK_MS);
  timer.unref();
  socket.once('close', () => clearTimeout(timer));
}
