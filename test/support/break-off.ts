/** Breaking off a connection in tests, as a peer that crashes does. */
import type { Socket } from 'node:net';

/**
 * By an RST, or, where this side's end is on its way already, by closing. Not by `resetAndDestroy`
 * then: libuv refuses to reset a socket that is being shut down (EINVAL), and Node has marked its
 * handle as closing by then, so that nobody closes it, and the process spins for ever at its exit.
 * https://github.com/nodejs/node/blob/v20.20.2/src/tcp_wrap.cc (TCPWrap::Reset)
 */
export function breakOff(socket: Socket): void {
  if (socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}
