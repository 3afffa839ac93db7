/**
 * Dials the server for one client: each configured upstream in its order, names resolved anew at
 * every dial (a failover behind a name is followed), the next one only where connecting failed.
 */
import net from 'node:net';
import { UndropError } from '../errors.js';
import { describeAddress } from '../service/address.js';
import type { ServerAddress } from '../service/pools.js';

export interface Dialled {
  readonly socket: net.Socket;
  /** The very address that was reached: the service connections of this session go there. */
  readonly address: ServerAddress;
  /** Local port of the connection; null over a unix socket. */
  readonly localPort: number | null;
}

/** Dials in order; UNDROP_UPSTREAM_UNREACHABLE names every address that failed, and why. */
export async function dialUpstream(
  upstreams: readonly ServerAddress[],
  options: { readonly connectTimeoutMs: number },
): Promise<Dialled> {
  const failures: string[] = [];
  for (const upstream of upstreams) {
    try {
      return await dial(upstream, options.connectTimeoutMs);
    } catch (error) {
      failures.push(`${describeAddress(upstream)} ${describeFailure(error)}`);
    }
  }
  throw new UndropError('UNDROP_UPSTREAM_UNREACHABLE', {
    upstream: upstreams.map(describeAddress).join(', '),
    cause: failures.join('; '),
  });
}

function dial(upstream: ServerAddress, connectTimeoutMs: number): Promise<Dialled> {
  return new Promise((resolve, reject) => {
    const target =
      'socketPath' in upstream
        ? { path: upstream.socketPath }
        : { host: upstream.host, port: upstream.port, noDelay: true, keepAlive: true };
    const socket = net.connect({ ...target, allowHalfOpen: true });
    const timer = setTimeout(() => {
      socket.destroy(new Error(`no connection within ${connectTimeoutMs} ms`));
    }, connectTimeoutMs);
    socket.once('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    socket.once('connect', () => {
      clearTimeout(timer);
      socket.removeAllListeners('error');
      socket.pause();
      resolve({ socket, address: reached(socket, upstream), localPort: socket.localPort ?? null });
    });
  });
}

function reached(socket: net.Socket, upstream: ServerAddress): ServerAddress {
  if ('socketPath' in upstream) return upstream;
  return { host: socket.remoteAddress ?? upstream.host, port: socket.remotePort ?? upstream.port };
}

function describeFailure(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(describeFailure).join(', ');
  if (!(error instanceof Error)) return String(error);
  const { code } = error as NodeJS.ErrnoException;
  return code ?? error.message;
}
