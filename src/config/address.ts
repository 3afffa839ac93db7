/**
 * Addresses as people write them (`host:port`, `[::1]:3307`, `3307`, `/path/to.sock`), and networks
 * (`10.0.0.0/8`, `fd00::/8`, one address; `unix` for sockets).
 */
import net from 'node:net';

/** The same shape as `ServerAddress` of `service/`, which `config` doesn't import. */
export type Address =
  | { readonly host: string; readonly port: number }
  | { readonly socketPath: string };

/** An address, or null if `text` is none. `defaultHost` stands in for an empty host. */
export function parseAddress(
  text: string,
  defaults: { readonly host: string; readonly port: number },
): Address | null {
  if (text.startsWith('/') || text.startsWith('./')) return { socketPath: text };
  if (/^\d{1,5}$/.test(text)) return parseAddress(`:${text}`, defaults);
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:\s/[\]]*))(?::(\d{1,5}))?$/.exec(text);
  if (match === null || text === '') return null;
  const [, v6, name = '', digits] = match;
  const port = digits === undefined ? defaults.port : Number(digits);
  if (port > 65_535) return null;
  return { host: v6 ?? (name === '' ? defaults.host : name), port };
}

export type Network =
  | { readonly address: string; readonly prefixBits: number; readonly family: 'ipv4' | 'ipv6' }
  /** All clients of a unix socket. */
  | 'unix';

/** Null if `text` is no network. */
export function parseNetwork(text: string): Network | null {
  if (text.toLowerCase() === 'unix') return 'unix';
  const [, address = '', digits] = /^([0-9a-fA-F.:]+)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  const version = net.isIP(address);
  if (version === 0) return null;
  const bitsMax = version === 4 ? 32 : 128;
  const prefixBits = digits === undefined ? bitsMax : Number(digits);
  if (prefixBits > bitsMax) return null;
  return { address, prefixBits, family: version === 4 ? 'ipv4' : 'ipv6' };
}
