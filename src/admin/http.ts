/**
 * The admin listener (UNDROP_ADMIN_LISTEN): `/healthz` reports that the process is alive, `/readyz`
 * that it can serve clients, `/readyz?drops` that drops are held as well, `/metrics` the metrics
 * for Prometheus. It serves GET and HEAD only, and exposes no rows, statements or passwords. On
 * this machine the API of the console is there, too, for people who sign in (console/api.ts).
 *
 * Invariant: requests cost a bounded number of sockets and bytes, however slow the client is.
 */
import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import { withinMs } from '../clock.js';
import type { Log } from '../log.js';

/** The sources of the pages. */
export interface AdminDoors {
  /** Why clients can't be served; with `drops` also why drops can't be held. */
  problems(about: { readonly drops: boolean }): Promise<readonly string[]>;
  /** In the text format of Prometheus. */
  metrics(): Promise<{ readonly contentType: string; readonly text: string }>;
  /** The API of the console, for requests from this machine; default: there is none. */
  api?(request: http.IncomingMessage, response: http.ServerResponse): Promise<void>;
}

export interface AdminListener {
  close(): Promise<void>;
}

const CONNECTIONS_MAX = 64;
const REQUEST_WITHIN_MS = 5_000;
const HEADERS_BYTES_MAX = 8_192;
/** For the answers that are under way at the end. */
const ANSWERS_END_MS = 1_000;

/** `listen`: makes the server listen. */
export async function openAdminListener(
  listen: (server: http.Server) => Promise<void>,
  { doors, log }: { readonly doors: AdminDoors; readonly log: Log },
): Promise<AdminListener> {
  const limits = {
    maxHeaderSize: HEADERS_BYTES_MAX,
    headersTimeout: REQUEST_WITHIN_MS,
    requestTimeout: REQUEST_WITHIN_MS,
    keepAliveTimeout: REQUEST_WITHIN_MS,
    connectionsCheckingInterval: 1_000,
  };
  const server = http.createServer(limits, (request, response) => {
    if (doors.api !== undefined && request.url?.startsWith('/api/') && isLocal(request.socket)) {
      // A restore may take long; the client may end it.
      request.socket.setTimeout(0);
      const answered = () => void request.socket.setTimeout(REQUEST_WITHIN_MS);
      void doors.api(request, response).finally(answered);
      return;
    }
    answer(request, doors).then(
      ({ status, type = 'text/plain; charset=utf-8', text }) => {
        response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' });
        response.end(request.method === 'HEAD' ? '' : text);
      },
      (error: unknown) => {
        log.error({ event: 'admin', err: error }, 'cannot answer an admin request');
        response.writeHead(500, { 'content-type': 'text/plain' });
        response.end('The request failed; see the log of undrop.\n');
      },
    );
  });
  server.maxConnections = CONNECTIONS_MAX;
  // Also ends clients that don't read the response.
  server.timeout = REQUEST_WITHIN_MS;
  // A process that ends doesn't wait for monitoring.
  server.unref();
  await listen(server);
  return {
    close: async () => {
      const closed = once(server, 'close');
      server.close();
      server.closeIdleConnections();
      await withinMs(ANSWERS_END_MS, closed);
      server.closeAllConnections();
    },
  };
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

interface Answer {
  readonly status: number;
  readonly type?: string;
  readonly text: string;
}

async function answer(request: http.IncomingMessage, doors: AdminDoors): Promise<Answer> {
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
