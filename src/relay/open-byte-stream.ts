/** Picks the way in which a socket is read and written: its raw handle where that works. */
import type { Socket } from 'node:net';
import { type ByteStream, SocketStream } from './byte-stream.js';
import { hasRawHandle, RawStream } from './raw-handle.js';

/** `ownBytes`: the buffer that a raw stream has for itself. */
export function openByteStream(socket: Socket, options: { readonly ownBytes: number }): ByteStream {
  return hasRawHandle(socket) ? new RawStream(socket, options) : new SocketStream(socket);
}
