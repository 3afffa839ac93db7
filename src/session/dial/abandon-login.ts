/**
 * Abandons a login whose client has gone (a load balancer's health check, a client without the
 * plugin that the server requests, one that is too slow). For a server, a connection that breaks in
 * its login is a broken handshake, and max_connect_errors of them lock out the source address
 * (error 1129): here that of all clients. A refused login doesn't count. Therefore undrop sends
 * empty responses to the server until it refuses; MySQL 8 and later ask even a user that they don't
 * know.
 *
 * Invariant: it takes a bounded time, and no client waits for it.
 */
import type { Socket } from 'node:net';
import { type ByteStream, catching, endSoon, LAME_DUCK_MS } from '../../relay/byte-stream.js';
import { LoginRelay } from '../login/login.js';
import { PLAIN } from '../login/login-check.js';

/** The stream is read here from now on; `received` is what came before. */
interface Abandoned {
  readonly socket: Socket;
  readonly stream: ByteStream;
  readonly received?: Buffer;
}

/** Brings `relay` to its end without its client. */
export function abandonLogin(login: Abandoned & { readonly relay: LoginRelay }): void {
  const { socket, stream, relay, received = Buffer.alloc(0) } = login;
  if (socket.destroyed) return;
  const timer = setTimeout(() => socket.destroy(), LAME_DUCK_MS);
  timer.unref();
  // Any end will do, because no response is awaited.
  socket.on('error', () => socket.destroy());
  socket.on('end', () => socket.destroy());
  socket.once('close', () => clearTimeout(timer));
  // The server's packets aren't understood.
  const onThrown = (thrown: unknown) => void socket.destroy(new Error(String(thrown)));
  const feed = catching((bytes: Buffer) => relay.feedServer(bytes), onThrown);
  catching(() => relay.leave(() => endSoon(socket)), onThrown)();
  feed(received);
  stream.start(feed);
}

const nothing = () => undefined;

/**
 * The same for a connection on which undrop has sent nothing yet. `onBroken`: called if it ends
 * before the server has refused; default: nothing.
 */
export function abandonUnanswered(login: Abandoned & { readonly onBroken?: () => void }): void {
  const { socket, stream, onBroken = nothing } = login;
  const relay = new LoginRelay({
    security: PLAIN,
    connections: { toClient: nothing, toServer: (bytes) => stream.write(bytes) },
    secureClient: nothing,
    secureServer: nothing,
    onDone: nothing,
  });
  reportBrokenLogin(socket, relay, onBroken);
  abandonLogin({ ...login, relay });
}

/**
 * Calls `onBroken` if `socket` closes before the server has accepted or refused the login. Returns
 * a function that cancels it.
 */
export function reportBrokenLogin(
  socket: Socket,
  relay: LoginRelay,
  onBroken: () => void,
): () => void {
  const onClose = () => {
    if (!relay.isSettled) onBroken();
  };
  if (socket.destroyed) onClose();
  else socket.once('close', onClose);
  return () => socket.off('close', onClose);
}
