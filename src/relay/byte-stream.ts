/**
 * One side of a session as the pump sees it: chunks come, chunks go, with back-pressure. Two ways
 * behind it: the raw handle (relay/raw-handle.ts), and the socket's own stream, for what has none.
 */
import type { Socket } from 'node:net';
import { behindDoor, endByThrown } from './door.js';
import { hasRawHandle, RawStream } from './raw-handle.js';

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

/** By the socket's documented events. */
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
