/**
 * Reads the header of the PROXY protocol, by which a proxy in front of undrop (a load balancer)
 * announces the client of a connection.
 *
 * Invariant: the header is read if the address of the connection is trusted, and only then, so no
 * client can give itself another address.
 */
import net from 'node:net';
import { UndropError } from '../../errors.js';
import type { ByteStream } from '../../relay/byte-stream.js';
import { decodeProxyHeader, type ProxyHeader } from '../../wire/connection/proxy-header.js';
import { MalformedPacketError } from '../../wire/packet-reader.js';

/** Addresses whose connections begin with a header. */
export type TrustedNetwork =
  | { readonly address: string; readonly prefixBits: number; readonly family: 'ipv4' | 'ipv6' }
  | 'unix';

/** Returns a predicate: whether a connection from there begins with a header. */
export function trustedBy(networks: readonly TrustedNetwork[]): (socket: net.Socket) => boolean {
  const list = new net.BlockList();
  for (const network of networks) {
    if (network !== 'unix') list.addSubnet(network.address, network.prefixBits, network.family);
  }
  const isUnixTrusted = networks.includes('unix');
  return ({ remoteAddress, remoteFamily }) => {
    if (remoteAddress === undefined) return isUnixTrusted;
    return list.check(remoteAddress, remoteFamily === 'IPv6' ? 'ipv6' : 'ipv4');
  };
}

/**
 * Reads the header from `stream`, and nothing after it; the stream is paused then. Null: the client
 * disconnected without a byte, like a health check that only connects. Rejects with
 * UNDROP_PROXY_HEADER if no header comes in time.
 */
export function readProxyHeader(
  socket: net.Socket,
  stream: ByteStream,
  timeoutMs: number,
): Promise<ProxyHeader | null> {
  return new Promise((resolve, reject) => {
    let bytes = Buffer.alloc(0);
    const settle = () => {
      clearTimeout(timer);
      stream.pause();
      socket.off('end', onEnd).off('close', onEnd).off('error', onEnd);
    };
    const fail = (problem: string, cause?: unknown) => {
      settle();
      reject(new UndropError('UNDROP_PROXY_HEADER', { problem }, cause));
    };
    const onEnd = () => {
      if (bytes.length > 0) return fail('the connection ended within it');
      settle();
      resolve(null);
    };
    const timer = setTimeout(() => fail(`none came within ${timeoutMs} ms`), timeoutMs);
    socket.on('end', onEnd).on('close', onEnd).on('error', onEnd);
    stream.start((chunk) => {
      bytes = Buffer.concat([bytes, chunk]);
      try {
        const header = decodeProxyHeader(bytes);
        if (header === null) return;
        if (header.bytes < bytes.length) return fail('more bytes followed before the greeting');
        settle();
        resolve(header);
      } catch (error) {
        if (!(error instanceof MalformedPacketError)) throw error;
        fail(error.message, error);
      }
    });
  });
}
