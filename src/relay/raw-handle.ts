/**
 * A socket's handle without the stream in front of it: reads into one buffer of its own, writes
 * with one request object, no allocation for a chunk. The only file that touches undocumented Node
 * (`_handle`, and what `process.binding('stream_wrap')` has); `isRawRelayPossible` tries all of it
 * once, and where it fails sockets are used as streams (relay/byte-stream.ts).
 *
 * Invariants: the socket stays the owner: its end, error and close events, `end()` and `destroy()`
 * work as ever. A buffer that the kernel has not taken whole belongs to libuv until `onDrain`; its
 * source is not read meanwhile.
 */
import net, { type Socket } from 'node:net';
import type { ByteStream } from './byte-stream.js';

interface WriteRequest {
  handle: Handle;
  oncomplete: (status: number) => void;
  /** Keeps the bytes alive while libuv has them. */
  buffer: Buffer | null;
}

interface Handle {
  onread: (this: Handle, arrayBuffer: ArrayBuffer | undefined) => void;
  readStart(): number;
  readStop(): number;
  useUserBuffer(buffer: Uint8Array): void;
  writeBuffer(request: WriteRequest, buffer: Uint8Array): number;
}

interface StreamWrap {
  readonly WriteWrap: new () => WriteRequest;
  readonly kReadBytesOrError: number;
  readonly kLastWriteWasAsync: number;
  readonly streamBaseState: Int32Array;
}

/** Bytes of the buffer that a stream borrows while it reads a lot. */
const BIG_BYTES = 128 * 1024;
/**
 * So many streams at a time have one; who comes later reads into its own meanwhile. Buffers that
 * come and go in hundreds leave holes in malloc's heap, which stay with the process.
 */
const BIG_MAX = 32;
/**
 * A stream changes its buffer at most so often, as Node keeps a small record (some 50 bytes) of
 * each change until the socket closes; from then on it has a bigger one of its own.
 */
const CHANGES_MAX = 1_000;
const SETTLED_BYTES = 64 * 1024;

/** A stream that has read nothing for so long gives its big buffer back. */
const REST_MS = 250;

const free: Buffer[] = [];
/** Streams with a big buffer. Looked through while there are any. */
const borrowers = new Set<RawStream>();
let sweeper: NodeJS.Timeout | null = null;
let wrap: StreamWrap | null = null;

/** Reads into `ownBytes` of its own; a bigger buffer is borrowed while reads fill it. */
export class RawStream implements ByteStream {
  onDrain: () => void = () => undefined;
  readonly #socket: Socket;
  readonly #handle: Handle;
  readonly #wrap: StreamWrap;
  #own: Buffer;
  #buffer: Buffer;
  #lastView: Buffer;
  #lastViewOf: Buffer;
  #changes = 0;
  /** Something was read into the big buffer since the last look. */
  #isBusy = false;
  #onChunk: ((chunk: Buffer) => void) | null = null;
  #reading = false;
  /** Writes that libuv still has. */
  #pending = 0;
  #request: WriteRequest;

  constructor(socket: Socket, options: { readonly ownBytes: number }) {
    const handle = handleOf(socket);
    if (handle === null || wrap === null) throw new Error('No raw handle; ask isRawRelayPossible.');
    this.#socket = socket;
    this.#handle = handle;
    this.#wrap = wrap;
    this.#own = Buffer.allocUnsafeSlow(options.ownBytes);
    this.#buffer = this.#own;
    this.#lastView = this.#own;
    this.#lastViewOf = this.#own;
    this.#request = this.#newRequest();
  }

  start(onChunk: (chunk: Buffer) => void): void {
    const isFirst = this.#onChunk === null;
    this.#onChunk = onChunk;
    if (isFirst) this.#takeOver();
    this.resume();
  }

  pause(): void {
    if (!this.#reading) return;
    this.#reading = false;
    if (!this.#socket.destroyed) this.#handle.readStop();
  }

  resume(): void {
    if (this.#reading || this.#socket.destroyed) return;
    this.#reading = true;
    this.#handle.readStart();
  }

  write(bytes: Buffer): boolean {
    // `writable` asks five more things for each chunk; of those the handle knows by itself.
    if (this.#socket.writableEnded) return true;
    const request = this.#request;
    const error = this.#handle.writeBuffer(request, bytes);
    if (error !== 0) {
      if (!this.#socket.destroyed) this.#socket.destroy(new Error(`write: errno ${error}`));
      return true;
    }
    if (this.#wrap.streamBaseState[this.#wrap.kLastWriteWasAsync] === 0) {
      return this.#pending === 0;
    }
    request.buffer = bytes;
    this.#pending++;
    this.#request = this.#newRequest();
    return false;
  }

  /** TLS lays its own reader over the handle's, and its writes queue up behind ours. */
  detach(): void {
    this.pause();
    this.onDrain = () => undefined;
  }

  #takeOver(): void {
    const { kReadBytesOrError, streamBaseState } = this.#wrap;
    const handle = this.#handle;
    const onEnd = handle.onread;
    handle.useUserBuffer(this.#buffer);
    handle.onread = (arrayBuffer) => {
      const count = streamBaseState[kReadBytesOrError] ?? 0;
      // 0 is EAGAIN; below are the end and errors, which are the socket's own to handle.
      if (count > 0) this.#onRead(count);
      else if (count < 0) onEnd.call(handle, arrayBuffer);
    };
  }

  #onRead(count: number): void {
    const buffer = this.#buffer;
    this.#isBusy = true;
    this.#onChunk?.(this.#view(buffer, count));
    if (count === buffer.length) this.#borrow();
    else if (buffer !== this.#own && count < this.#own.length) this.#giveBack();
  }

  /** The same bytes of the same buffer as last time, mostly: then no new object is needed. */
  #view(buffer: Buffer, count: number): Buffer {
    if (this.#lastView.length !== count || this.#lastViewOf !== buffer) {
      this.#lastView = buffer.subarray(0, count);
      this.#lastViewOf = buffer;
    }
    return this.#lastView;
  }

  /** Not while it is paused: what was just read may still be on its way to the kernel. */
  #borrow(): void {
    if (this.#buffer !== this.#own || !this.#reading) return;
    if (this.#changes >= CHANGES_MAX) return this.#settle();
    if (borrowers.size >= BIG_MAX) return;
    this.#use(free.pop() ?? Buffer.allocUnsafeSlow(BIG_BYTES));
    borrowers.add(this);
    sweeper ??= setInterval(sweep, REST_MS).unref();
  }

  #settle(): void {
    if (this.#own.length >= SETTLED_BYTES) return;
    this.#own = Buffer.allocUnsafeSlow(SETTLED_BYTES);
    this.#use(this.#own);
  }

  #giveBack(): void {
    if (!this.#reading) return;
    free.push(this.#buffer);
    this.#use(this.#own);
    borrowers.delete(this);
  }

  /** The end of a big answer is seldom a short read; after it there is none. */
  rest(): void {
    if (this.#socket.destroyed) borrowers.delete(this);
    else if (!this.#isBusy && this.#buffer !== this.#own) this.#giveBack();
    this.#isBusy = false;
  }

  #use(buffer: Buffer): void {
    this.#changes++;
    this.#buffer = buffer;
    this.#lastView = buffer;
    this.#lastViewOf = buffer;
    this.#handle.useUserBuffer(buffer);
  }

  #newRequest(): WriteRequest {
    const request = new this.#wrap.WriteWrap();
    request.handle = this.#handle;
    request.buffer = null;
    request.oncomplete = (status) => {
      request.buffer = null;
      this.#pending--;
      if (status < 0 && !this.#socket.destroyed) {
        this.#socket.destroy(new Error(`write: errno ${status}`));
      }
      if (this.#pending === 0) this.onDrain();
    };
    return request;
  }
}

function sweep(): void {
  for (const stream of borrowers) stream.rest();
  if (borrowers.size > 0 || sweeper === null) return;
  clearInterval(sweeper);
  sweeper = null;
}

/** True for a plain TCP or unix socket, after `isRawRelayPossible` said yes. */
export function hasRawHandle(socket: Socket): boolean {
  return wrap !== null && handleOf(socket) !== null;
}

/**
 * Tries everything that this file relies on, once, on a connection of its own over loopback: a
 * chunk there and back through two raw streams, and the end. Where anything is missing or answers
 * otherwise, the answer is false, and no raw handle is ever used.
 */
export async function isRawRelayPossible(): Promise<boolean> {
  try {
    wrap = loadStreamWrap();
    if (await tryEcho()) return true;
  } catch {
    // Whatever is missing: the documented way works everywhere.
  }
  wrap = null;
  return false;
}

function loadStreamWrap(): StreamWrap | null {
  const { binding } = process as unknown as { binding?: (name: string) => Partial<StreamWrap> };
  const found = binding?.call(process, 'stream_wrap');
  const isWhole =
    typeof found?.WriteWrap === 'function' &&
    typeof found.kReadBytesOrError === 'number' &&
    typeof found.kLastWriteWasAsync === 'number' &&
    ArrayBuffer.isView(found.streamBaseState);
  return isWhole ? (found as StreamWrap) : null;
}

function handleOf(socket: Socket): Handle | null {
  const handle = (socket as unknown as { _handle?: Partial<Handle> | null })._handle;
  const isWhole =
    typeof handle?.readStart === 'function' &&
    typeof handle.readStop === 'function' &&
    typeof handle.useUserBuffer === 'function' &&
    typeof handle.writeBuffer === 'function' &&
    typeof handle.onread === 'function';
  // A TLS socket has a handle too, but its own ideas of what a write is.
  return isWhole && !('encrypted' in socket) ? (handle as Handle) : null;
}

const TRY_MS = 2_000;

async function tryEcho(): Promise<boolean> {
  if (wrap === null) return false;
  const sent = Buffer.from('undrop');
  return new Promise<boolean>((resolve) => {
    const server = net.createServer({ pauseOnConnect: true }, (accepted) => {
      const echo = new RawStream(accepted, { ownBytes: 64 });
      echo.start((chunk) => {
        echo.write(Buffer.from(chunk));
        accepted.end();
      });
    });
    const done = (answer: boolean) => {
      clearTimeout(timer);
      server.close();
      resolve(answer);
    };
    const timer = setTimeout(() => done(false), TRY_MS);
    // Of this process alone, also where it is one of several that share their ports.
    server.listen({ port: 0, host: '127.0.0.1', exclusive: true }, () => {
      const { port } = server.address() as net.AddressInfo;
      const socket = net.connect({ port, host: '127.0.0.1' });
      let received = Buffer.alloc(0);
      socket.on('error', () => done(false));
      socket.once('connect', () => {
        if (handleOf(socket) === null) return done(false);
        socket.pause();
        const raw = new RawStream(socket, { ownBytes: 4 });
        raw.start((chunk) => {
          received = Buffer.concat([received, chunk]);
        });
        raw.write(sent);
      });
      socket.once('end', () => {
        socket.destroy();
        done(received.equals(sent));
      });
    });
  });
}
