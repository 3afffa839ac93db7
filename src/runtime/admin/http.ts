/**
 * The admin listener (UNDROP_ADMIN_LISTEN): `/healthz` reports that the process is alive, `/readyz`
 * that it can serve clients, `/readyz?drops` that drops are held as well, `/metrics` the metrics
 * for Prometheus. These are GET and HEAD only, and expose no rows, statements or passwords. The
 * console and its API are there, too (console/web.ts, api.ts), for people who sign in: on this
 * machine, and from others by TLS. TLS and plain HTTP are told apart by the first byte.
 *
 * Invariant: requests cost a bounded number of sockets and bytes, however slow the client is.
 */
import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import { TLSSocket } from 'node:tls';
import { withinMs } from '../../clock.js';
import type { Log } from '../../log.js';

/** The sources of the pages. */
export interface AdminRoutes {
  /** Why clients can't be served; with `drops` also why drops can't be held. */
  problems(about: { readonly drops: boolean }): Promise<readonly string[]>;
  /** In the text format of Prometheus. */
  metrics(): Promise<{ readonly contentType: string; readonly text: string }>;
  /** The console, for requests from this machine or by TLS; default: there is none. */
  console?(request: http.IncomingMessage, response: http.ServerResponse): Promise<void>;
}

/** TLS with a client whose first bytes were read. Rejects if there is no handshake. */
type AcceptTls = (socket: net.Socket, clientHello: Buffer) => Promise<net.Socket>;

/** Connections without a whole request: above it the oldest of them ends for a new one. */
const WAITING_MAX = 64;
const CONNECTIONS_MAX = 4 * WAITING_MAX;
const REQUEST_WITHIN_MS = 5_000;
const HEADERS_BYTES_MAX = 8_192;
/** For the answers that are under way at the end. */
const ANSWERS_END_MS = 1_000;

/** The first byte of TLS: a record with a handshake. */
const TLS_HANDSHAKE = 0x16;
const OF_CONSOLE = /^\/(?:$|api\/|(?:console|mcp)(?:[/?]|$))/;

/**
 * Resolves to a function that closes it. `listen`: makes the server listen. `accept`: null for a
 * listener without TLS.
 */
export async function openAdminListener(
  listen: (server: http.Server) => Promise<void>,
  {
    doors,
    accept,
    log,
  }: { readonly doors: AdminRoutes; readonly accept: AcceptTls | null; readonly log: Log },
): Promise<() => Promise<void>> {
  const limits = {
    maxHeaderSize: HEADERS_BYTES_MAX,
    headersTimeout: REQUEST_WITHIN_MS,
    requestTimeout: REQUEST_WITHIN_MS,
    keepAliveTimeout: REQUEST_WITHIN_MS,
    connectionsCheckingInterval: 1_000,
  };
  const waiting = new Waiting();
  const server = http.createServer(limits, (request, response) => {
    const { socket } = request;
    // A body that comes slowly is no reason to keep its connection before others.
    if (hasBody(request)) request.once('end', () => waiting.leave(socket));
    else waiting.leave(socket);
    response.once('close', () => waiting.enter(socket));
    const failed = (error: unknown) => {
      log.error({ event: 'admin', err: error }, 'cannot answer an admin request');
      response.writeHead(500, { 'content-type': 'text/plain' });
      response.end('The request failed; see the log of undrop.\n');
    };
    if (doors.console !== undefined && OF_CONSOLE.test(request.url ?? '')) {
      if (isLocal(socket) || socket instanceof TLSSocket) {
        // A restore may take long; the client may end it.
        socket.setTimeout(0);
        const answered = () => void socket.setTimeout(REQUEST_WITHIN_MS);
        void doors.console(request, response).catch(failed).finally(answered);
        return;
      }
    }
    answer(request, doors).then(({ status, type = 'text/plain; charset=utf-8', text }) => {
      response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' });
      response.end(request.method === 'HEAD' ? '' : text);
    }, failed);
  });
  server.maxConnections = CONNECTIONS_MAX;
  // Also ends clients that don't read the response.
  server.timeout = REQUEST_WITHIN_MS;
  server.prependListener('connection', (socket) => waiting.add(socket));
  if (accept !== null) acceptBoth(server, accept, waiting);
  // A process that ends doesn't wait for monitoring.
  server.unref();
  await listen(server);
  return async () => {
    const closed = once(server, 'close');
    server.close();
    server.closeIdleConnections();
    await withinMs(ANSWERS_END_MS, closed);
    server.closeAllConnections();
  };
}

function hasBody({ headers }: http.IncomingMessage): boolean {
  return 'transfer-encoding' in headers || Number(headers['content-length'] ?? 0) > 0;
}

/** The connections without a whole request, the oldest first. */
class Waiting {
  readonly #all = new Set<net.Socket>();

  /** A new connection. */
  add(socket: net.Socket): void {
    socket.once('close', () => this.#all.delete(socket));
    this.enter(socket);
  }

  enter(socket: net.Socket): void {
    if (socket.destroyed) return;
    this.#all.add(socket);
    const [oldest] = this.#all;
    if (this.#all.size > WAITING_MAX) oldest?.destroy();
  }

  leave(socket: net.Socket): void {
    this.#all.delete(socket);
  }
}

/** Each connection begins with a byte that tells whether it is TLS. */
function acceptBoth(server: http.Server, accept: AcceptTls, waiting: Waiting): void {
  const serve = server.listeners('connection').at(-1) as (socket: net.Socket) => void;
  server.off('connection', serve);
  server.on('connection', (socket: net.Socket) => {
    const drop = () => socket.destroy();
    socket.setTimeout(REQUEST_WITHIN_MS, drop);
    socket.on('error', drop);
    const look = () => {
      const first = socket.read(1) as Buffer | null;
      if (first === null) {
        if (!socket.readableEnded) socket.once('readable', look);
        return;
      }
      socket.off('timeout', drop);
      if (first[0] === TLS_HANDSHAKE) {
        accept(socket, first).then((secured) => {
          waiting.leave(socket);
          waiting.add(secured);
          serve.call(server, secured);
        }, drop);
        return;
      }
      socket.unshift(first);
      serve.call(server, socket);
    };
    socket.once('readable', look);
  });
}

/** From this machine to this machine. A unix socket isn't reached from another one. */
function isLocal({ localAddress, remoteAddress }: net.Socket): boolean {
  return [localAddress, remoteAddress].every(
    (address) =>
      address === undefined || LOOPBACK.check(address, net.isIPv6(address) ? 'ipv6' : 'ipv4'),
  );
}

const LOOPBACK = new net.BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

async function answer(request: http.IncomingMessage, doors: AdminRoutes) {
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    return { status: 405, text: 'Expected GET or HEAD.\n' };
  }
  const [path, query] = (request.url ?? '/').split('?');
  switch (path) {
    case '/healthz':
      return { status: 200, text: 'ok\n' };
    case '/readyz': {
      const drops = new URLSearchParams(query).has('drops');
      const problems = await doors.problems({ drops });
      if (problems.length === 0) return { status: 200, text: 'ready\n' };
      return { status: 503, text: problems.map((problem) => `${problem}\n`).join('') };
    }
    case '/metrics': {
      const { contentType, text } = await doors.metrics();
      return { status: 200, type: contentType, text };
    }
    default:
      return { status: 404, text: 'Expected /healthz, /readyz or /metrics.\n' };
  }
}
