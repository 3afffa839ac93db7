/** How an address is printed. */
import type { ServerAddress } from './pool/pools.js';

/** `host:port`, `[v6]:port`, or the path of a unix socket. */
export function describeAddress(address: ServerAddress): string {
  if ('socketPath' in address) return address.socketPath;
  const { host, port } = address;
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
