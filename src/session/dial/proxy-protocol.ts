/**
 * Reads the header of the PROXY protocol, which says whose connection it is: a proxy in front of
 * ours (a load balancer) sends it first. It is expected from the networks that are trusted for it,
 * and from nowhere else.
 *
 * Invariant: the header is asked for where the address of the connection is trusted, and read
 * nowhere else, so no client can give itself another address.
 */
import net from 'node:net';
import { UndropError } from '../../errors.js';
import type { ByteStream } from '../../relay/byte-stream.js';
import {
  decodeProxyHeader,
  type Endpoint,
  type ProxyHeader,
} from '../../wire/connection/proxy-header.js';
import { MalformedPacketError } from '../../wire/packet-reader.js';

/** Addresses from which a header is asked for. */
export type TrustedNetwork =
  | { readonly address: string; readonly prefixBits: number; readonly family: 'ipv4' | 'ipv6' }
  | 'unix';

/** Answers whether a connection from there begins with a header. */
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

/** What a connection that should begin with a header did. */
export type Announced =
  | { readonly kind: 'client'; readonly client: Endpoint | null }
  /** It went without a word, as a health check does that only connects. */
  | { readonly kind: 'gone' };

/**
 * Reads the header off `stream`, and nothing after it; the stream is paused then. Rejects with
 * UNDROP_PROXY_HEADER where there is none in time.
 */
export function readProxyHeader(
  socket: net.Socket,
  stream: ByteStream,
  { timeoutMs }: { readonly timeoutMs: number },
): Promise<Announced> {
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
      if (bytes.length > 0) return fail('the connection ended in the middle of it');
      settle();
      resolve({ kind: 'gone' });
    };
    const timer = setTimeout(() => fail(`there was none within ${timeoutMs} ms`), timeoutMs);
    socket.on('end', onEnd).on('close', onEnd).on('error', onEnd);
    stream.start((chunk) => {
      bytes = Buffer.concat([bytes, chunk]);
      const header = tryDecode(bytes);
      if (header === null) return;
      if (header instanceof Error) return fail(header.message, header);
      if (header.bytes < bytes.length) return fail('bytes follow it before the greeting');
      settle();
      resolve({ kind: 'client', client: header.client });
    });
  });
}

function tryDecode(bytes: Buffer): ProxyHeader | Error | null {
  try {
    return decodeProxyHeader(bytes);
  } catch (error) {
    if (error instanceof MalformedPacketError) return error;
    throw error;
  }
}
