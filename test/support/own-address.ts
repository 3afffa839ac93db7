/** An address of this machine that is none of loopback, where a peer is trusted with less. */
import { networkInterfaces } from 'node:os';

export function ownAddress(): string {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  const found = all.find(({ family, internal }) => family === 'IPv4' && !internal);
  if (found === undefined) throw new Error('This test needs an IPv4 address beside loopback.');
  return found.address;
}
