/**
 * The address of a server, how it is printed, and whether it is on this machine.
 */
import net from 'node:net';
import { networkInterfaces } from 'node:os';
import { resolve } from 'node:path';

/** Where the server listens. */
export type ServerAddress =
  | {
      readonly host: string;
      readonly port: number;
      /** The configured name, if `host` is an address of it; certificates are compared with it. */
      readonly name?: string;
    }
  | { readonly socketPath: string };

/** `host:port`, `[v6]:port`, or the path of a unix socket. */
export function describeAddress(address: ServerAddress): string {
  if ('socketPath' in address) return address.socketPath;
  const { host, port } = address;
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

export function isOnThisMachine(upstream: ServerAddress): boolean {
  if ('socketPath' in upstream) return true;
  const isLoopback = upstream.host === '::1' || /^(::ffff:)?127\./.test(upstream.host);
  return isLoopback || upstream.host === 'localhost';
}

/** Whether dialling `target` leads to `bound`, a listener on this machine. */
export function leadsTo(target: ServerAddress, bound: ServerAddress): boolean {
  if ('socketPath' in target || 'socketPath' in bound) {
    if (!('socketPath' in target && 'socketPath' in bound)) return false;
    return resolve(target.socketPath) === resolve(bound.socketPath);
  }
  if (target.port !== bound.port) return false;
  return target.host === bound.host || (isAny(bound.host) && isOfThisMachine(target.host));
}

function isAny(host: string): boolean {
  return host === '0.0.0.0' || host === '::';
}

function isOfThisMachine(host: string): boolean {
  if (isAny(host) || (net.isIPv4(host) && host.startsWith('127.'))) return true;
  const own = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  return own.some(({ address }) => address === host);
}
