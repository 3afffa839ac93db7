/**
 * One side of a session as chunks that come and go with back-pressure, and the pump that carries
 * one direction of a session from one side to the other. A side is a raw handle (raw-handle.ts), or
 * the stream of a socket that has no such handle. The hot path, nothing else.
 *
 * Invariant: a pump keeps no bytes, and while its sink is full, its source is not read.
 */
import type { Socket } from 'node:net';
import { hasRawHandle, RawStream } from './raw-handle.js';
import { behindDoor, endByThrown } from './sockets.js';

export interface ByteStream {
  /** Called when what could not be written at once has been. */
  onDrain: () => void;
  /**
   * Begins to read; called again, the chunks go to another reader from then on. A chunk is the
   * stream's own memory: it is valid during the call, and for bytes given to another stream's
   * `write` until that stream drained. Who keeps bytes copies them.
   */
  start(onChunk: (chunk: Buffer) => void): void;
  /** False: the bytes are on their way; pause their source until `onDrain`. */
  write(bytes: Buffer): boolean;
  pause(): void;
  resume(): void;
  /** Leaves the socket to somebody else (TLS): nothing is read, written or heard of any more. */
  detach(): void;
}

/** ByteStream by the socket's documented events. */
export class SocketStream implements ByteStream {
  onDrain: () => void = () => undefined;
  readonly #socket: Socket;
  readonly #onThrown = (thrown: unknown): void => endByThrown(this.#socket, thrown);
  readonly #onDrain = behindDoor(() => this.onDrain(), this.#onThrown);
  #onChunk: ((chunk: Buffer) => void) | null = null;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('drain', this.#onDrain);
  }

  start(onChunk: (chunk: Buffer) => void): void {
    if (this.#onChunk !== null) this.#socket.off('data', this.#onChunk);
    this.#onChunk = behindDoor(onChunk, this.#onThrown);
    this.#socket.on('data', this.#onChunk);
    this.#socket.resume();
  }

  write(bytes: Buffer): boolean {
    const socket = this.#socket;
    if (!socket.writable) return true;
    // What waits for a write under way is kept by reference, and it may say "go on" all the same.
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

/** What a raw stream reads into while little comes; more is borrowed while much does. */
const OWN_BYTES = 4 * 1024;

export function openByteStream(socket: Socket): ByteStream {
  return hasRawHandle(socket)
    ? new RawStream(socket, { ownBytes: OWN_BYTES })
    : new SocketStream(socket);
}

export class Pump {
  readonly #source: ByteStream;
  readonly #sink: ByteStream;
  #held = false;
  #sinkFull = false;
  #onEmpty: (() => void) | null = null;

  constructor(source: ByteStream, sink: ByteStream) {
    this.#source = source;
    this.#sink = sink;
    sink.onDrain = () => {
      this.#sinkFull = false;
      this.#onEmpty?.();
      this.#onEmpty = null;
      if (!this.#held) this.#source.resume();
    };
  }

  write(bytes: Buffer): void {
    if (bytes.length === 0 || this.#sink.write(bytes)) return;
    this.#sinkFull = true;
    this.#source.pause();
  }

  /** Calls back, at once or later, when the sink has taken all that was written. One at a time. */
  whenEmpty(run: () => void): void {
    if (this.#sinkFull) this.#onEmpty = run;
    else run();
  }

  /** Stops reading the source until `release`. */
  hold(): void {
    this.#held = true;
    this.#source.pause();
  }

  /** Reads on as soon as the sink has room: what it still has to send is the source's memory. */
  release(): void {
    this.#held = false;
    if (!this.#sinkFull) this.#source.resume();
  }
}
