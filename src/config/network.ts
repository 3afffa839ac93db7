/** Networks as people write them: `10.0.0.0/8`, `fd00::/8`, one address; `unix` for sockets. */
import net from 'node:net';

export type Network =
  | { readonly address: string; readonly prefixBits: number; readonly family: 'ipv4' | 'ipv6' }
  /** Every client of a unix socket. */
  | 'unix';

/** Null where `text` is no network. */
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
