/**
 * The address of a server, how it is printed, and whether it is on this machine. Pure.
 */

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
