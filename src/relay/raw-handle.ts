/**
 * Uses a socket's handle without its stream: reads go into one buffer, writes have one request
 * object, and a chunk allocates nothing. The only file that touches undocumented Node (`_handle`,
 * and `process.binding('stream_wrap')`); `chooseRelay` tries all of it once, and if it fails,
 * sockets are used as streams (relay/byte-stream.ts).
 *
 * Invariants: the socket stays the owner: its end, error and close events, `end()` and `destroy()`
 * work as usual. A buffer that the kernel has not taken whole belongs to libuv until `onDrain`; its
 * source is not read meanwhile.
 */
import { once } from 'node:events';
import type { Socket } from 'node:net';
import net from 'node:net';
import { type ByteStream, endByThrown, SocketStream } from './byte-stream.js';

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
  /** Bytes that libuv has and the kernel doesn't have yet. */
  readonly writeQueueSize: number;
}

interface StreamWrap {
  readonly WriteWrap: new () => WriteRequest;
  readonly kReadBytesOrError: number;
  readonly kLastWriteWasAsync: number;
  readonly streamBaseState: Int32Array;
}

/** Bytes of the buffer that a stream borrows while it reads much. */
const BIG_BYTES = 128 * 1024;
/**
 * The number of borrowed buffers at a time; other streams read into their own. Hundreds of buffers
 * that come and go leave holes in malloc's heap, which stay with the process.
 */
const BIG_MAX = 32;
/**
 * The number of times that a stream changes its buffer, because Node keeps a small record (some 50
 * bytes) of each change until the socket closes; after that it keeps a bigger one of its own.
 */
const CHANGES_MAX = 1_000;
const SETTLED_BYTES = 64 * 1024;

/** A stream that has read nothing for this long returns its big buffer. */
const REST_MS = 250;

const free: Buffer[] = [];
/** Streams with a big buffer, checked while there are any. */
const borrowers = new Set<RawStream>();
let sweeper: NodeJS.Timeout | null = null;
let wrap: StreamWrap | null = null;

/** The buffer of a raw stream with little traffic; with more traffic it borrows a bigger one. */
const OWN_BYTES = 4 * 1024;

/** By the raw handle of a plain TCP or unix socket, if `chooseRelay` chose raw handles. */
export function openByteStream(socket: Socket): ByteStream {
  const isRaw = wrap !== null && handleOf(socket) !== null;
  return isRaw ? new RawStream(socket, { ownBytes: OWN_BYTES }) : new SocketStream(socket);
}

/** Reads into `ownBytes` of its own; it borrows a bigger buffer while reads fill it. */
export class RawStream implements ByteStream {
  onDrain: () => void = () => undefined;
  readonly #socket: Socket;
  readonly #handle: Handle;
  readonly #wrap: StreamWrap;
  #own: Buffer;
  #buffer: Buffer;
  /** The part of `#buffer` with the last read. */
  #lastView: Buffer;
  #changes = 0;
  /** Read into the big buffer since the last check. */
  #isBusy = false;
  #onChunk: ((chunk: Buffer) => void) | null = null;
  #reading = false;
  /** Writes that libuv has not finished. */
  #pending = 0;
  #request: WriteRequest;

  constructor(socket: Socket, options: { readonly ownBytes: number }) {
    const handle = handleOf(socket);
    if (handle === null || wrap === null)
      throw new Error('The socket has no raw handle; chooseRelay decides that.');
    this.#socket = socket;
    this.#handle = handle;
    this.#wrap = wrap;
    this.#own = Buffer.allocUnsafeSlow(options.ownBytes);
    this.#buffer = this.#own;
    this.#lastView = this.#own;
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
    // `writable` checks five more conditions for each chunk; the handle detects those itself.
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

  /** TLS puts its own reader on the handle, and its writes are queued after these. */
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
      // 0 is EAGAIN; negative values are the end and errors, which the socket handles.
      try {
        if (count > 0) this.#onRead(count);
        else if (count < 0) onEnd.call(handle, arrayBuffer);
      } catch (error) {
        endByThrown(this.#socket, error);
      }
    };
  }

  #onRead(count: number): void {
    const buffer = this.#buffer;
    this.#isBusy = true;
    // Mostly the same range as last time, which needs no new object.
    if (this.#lastView.length !== count) this.#lastView = buffer.subarray(0, count);
    this.#onChunk?.(this.#lastView);
    if (count === buffer.length) this.#borrow();
    else if (buffer !== this.#own && count < this.#own.length) this.#returnBuffer();
  }

  /** Not while paused: the last read may still be on its way to the kernel. */
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

  #returnBuffer(): void {
    if (!this.#reading) return;
    free.push(this.#buffer);
    this.#use(this.#own);
    borrowers.delete(this);
  }

  /** The end of a big response is seldom a short read, and no read follows it. */
  rest(): void {
    try {
      if (this.#socket.destroyed) borrowers.delete(this);
      else if (!this.#isBusy && this.#buffer !== this.#own) this.#returnBuffer();
      this.#isBusy = false;
    } catch (error) {
      borrowers.delete(this);
      endByThrown(this.#socket, error);
    }
  }

  #use(buffer: Buffer): void {
    this.#changes++;
    this.#buffer = buffer;
    this.#lastView = buffer;
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
      if (this.#pending > 0) return;
      try {
        this.onDrain();
      } catch (error) {
        endByThrown(this.#socket, error);
      }
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

/**
 * Switches all later sockets to raw handles, or not, and returns which. Tries everything that this
 * file relies on, on a loopback connection of its own: a chunk there, more than the kernel takes at
 * once back, and the end; and once more if that fails, because a busy machine may break any
 * connection. If both fail, no raw handle is used.
 */
export async function chooseRelay(): Promise<'raw' | 'stream'> {
  wrap = null;
  for (let trial = 0; trial < TRIALS; trial++) {
    try {
      wrap = loadStreamWrap();
      if (wrap !== null && (await tryTraffic())) return 'raw';
    } catch {
      // Any failure: the documented way works everywhere.
    }
  }
  wrap = null;
  return 'stream';
}

function loadStreamWrap(): StreamWrap | null {
  const { binding } = process as unknown as { binding?: (name: string) => Partial<StreamWrap> };
  const found = binding?.call(process, 'stream_wrap');
  const isUsable =
    typeof found?.WriteWrap === 'function' &&
    typeof found.kReadBytesOrError === 'number' &&
    typeof found.kLastWriteWasAsync === 'number' &&
    ArrayBuffer.isView(found.streamBaseState);
  return isUsable ? (found as StreamWrap) : null;
}

function handleOf(socket: Socket): Handle | null {
  const handle = (socket as unknown as { _handle?: Partial<Handle> | null })._handle;
  const isUsable =
    typeof handle?.readStart === 'function' &&
    typeof handle.readStop === 'function' &&
    typeof handle.useUserBuffer === 'function' &&
    typeof handle.writeBuffer === 'function' &&
    typeof handle.onread === 'function';
  // A TLS socket has a handle too, but encrypts what is written.
  return isUsable && !('encrypted' in socket) ? (handle as Handle) : null;
}

const TRIALS = 2;
const TRY_MS = 10_000;
/** The trial writes such chunks until the kernel leaves some bytes to libuv. */
const TRY_CHUNK_BYTES = 2 ** 20;
const TRY_CHUNKS_MAX = 64;

async function tryTraffic(): Promise<boolean> {
  // Each byte shows its position; twice, so that every range read is one slice of it.
  const sent = Buffer.alloc(2 * TRY_CHUNK_BYTES, Buffer.from('undrop tries its sockets '));
  sent.copyWithin(TRY_CHUNK_BYTES, 0);
  const sockets: Socket[] = [];
  const signal = AbortSignal.timeout(TRY_MS);
  // Exclusive to this process, also in a cluster.
  const server = net.createServer({ pauseOnConnect: true });
  server.listen({ port: 0, host: '127.0.0.1', exclusive: true });
  try {
    await once(server, 'listening', { signal });
    const { port } = server.address() as net.AddressInfo;
    const connecting = net.connect({ port, host: '127.0.0.1' }).pause();
    sockets.push(connecting);
    const [[accepted]] = (await Promise.all([
      once(server, 'connection', { signal }),
      once(connecting, 'connect', { signal }),
    ])) as [[Socket], unknown];
    sockets.push(accepted.on('error', () => undefined));
    if (handleOf(connecting) === null) return false;

    const reader = new RawStream(connecting, { ownBytes: 4_096 });
    let [written, received, isTrue] = [0, 0, true];
    reader.start((chunk) => {
      const from = received % TRY_CHUNK_BYTES;
      isTrue &&= chunk.equals(sent.subarray(from, from + chunk.length));
      received += chunk.length;
    });
    // Until the other side had to wait.
    reader.pause();
    const ended = once(connecting, 'end', { signal });
    ended.catch(() => undefined);
    const writer = new RawStream(accepted, { ownBytes: 64 });
    writer.onDrain = () => accepted.end();
    const asked = new Promise<void>((resolve) => writer.start(() => resolve()));
    reader.write(Buffer.from('undrop'));
    await Promise.race([asked, ended]);
    for (let isTaken = true; isTaken; written += TRY_CHUNK_BYTES) {
      if (written >= TRY_CHUNKS_MAX * TRY_CHUNK_BYTES) return false;
      isTaken = writer.write(sent.subarray(0, TRY_CHUNK_BYTES));
      if (isTaken === (handleOf(accepted)?.writeQueueSize ?? 0) > 0) return false;
    }
    reader.resume();
    await ended;
    return isTrue && received === written;
  } finally {
    server.close();
    for (const socket of sockets) socket.destroy();
  }
}
