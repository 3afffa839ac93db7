/**
 * Whether an upstream is this very proxy: a client let in would be dialled on to us, for ever and
 * ever. Names have to be resolved before.
 */
import net from 'node:net';
import { networkInterfaces } from 'node:os';
import { resolve } from 'node:path';
import type { ServerAddress } from '../../service/pool/pools.js';

/** Whether who dials `target` comes to `bound`, which is listened on on this machine. */
export function leadsTo(target: ServerAddress, bound: ServerAddress): boolean {
  if ('socketPath' in target || 'socketPath' in bound) {
    if (!('socketPath' in target && 'socketPath' in bound)) return false;
    return resolve(target.socketPath) === resolve(bound.socketPath);
  }
  if (target.port !== bound.port) return false;
  return leadsToHost(plain(target.host), plain(bound.host));
}

/** `from` is dialled, `to` is listened on. */
function leadsToHost(from: string, to: string): boolean {
  // Who dials "any address" comes to a loopback address.
  const isLocal = isAny(from) || isOfThisMachine(from);
  if (isAny(to)) return isLocal;
  return from === to || (isAny(from) && isLoopback(to));
}

/** Of `::ffff:127.0.0.1` the address that it stands for. */
function plain(host: string): string {
  const [, mapped = host] = /^::ffff:(\d+(?:\.\d+){3})$/i.exec(host) ?? [];
  return mapped;
}

function isAny(host: string): boolean {
  return host === '0.0.0.0' || host === '::';
}

function isLoopback(host: string): boolean {
  return host === '::1' || (net.isIPv4(host) && host.startsWith('127.'));
}

function isOfThisMachine(host: string): boolean {
  if (isLoopback(host)) return true;
  const own = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  return own.some(({ address }) => address === host);
}
