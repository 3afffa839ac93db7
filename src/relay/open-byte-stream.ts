/** Picks the way in which a socket is read and written: its raw handle where that works. */
import type { Socket } from 'node:net';
import { type ByteStream, SocketStream } from './byte-stream.js';
import { hasRawHandle, RawStream } from './raw-handle.js';

/** What a raw stream reads into while little comes; more is borrowed while much does. */
const OWN_BYTES = 4 * 1024;

export function openByteStream(socket: Socket): ByteStream {
  return hasRawHandle(socket)
    ? new RawStream(socket, { ownBytes: OWN_BYTES })
    : new SocketStream(socket);
}
