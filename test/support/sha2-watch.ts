/**
 * A relay between a proxy and its server, without TLS, that notes how each caching_sha2_password
 * login went: by the server's cache (`fast`), or by the password itself (`full`).
 */
import type net from 'node:net';
import { decodeHandshakeResponse41 } from '../../src/wire/connection/handshake-response41.js';
import { PacketAssembler } from '../../src/wire/framing.js';
import type { Target } from './servers.js';
import { openTcpRelay } from './tcp-relay.js';

export type Sha2Way = 'fast' | 'full';

const PACKET_BYTES_MAX = 1024 * 1024;
const AUTH_MORE_DATA = 0x01;
const WAYS: Readonly<Record<number, Sha2Way>> = { 3: 'fast', 4: 'full' };

export async function watchSha2(server: Target) {
  const noted: { readonly user: string; readonly way: Sha2Way }[] = [];
  const relay = await openTcpRelay(server, (proxy, upstream) =>
    noteWays(proxy, upstream, (user, way) => noted.push({ user, way })),
  );
  /** Of that user, since it was asked last. */
  const take = (user: string) => {
    const ways = noted.filter((one) => one.user === user).map(({ way }) => way);
    noted.length = 0;
    return ways;
  };
  return { ...relay, take };
}

/** Looks on until the server has said OK, or anything else that is no part of such a login. */
function noteWays(
  proxy: net.Socket,
  upstream: net.Socket,
  note: (user: string, way: Sha2Way) => void,
): void {
  const fromProxy = new PacketAssembler(PACKET_BYTES_MAX);
  const fromServer = new PacketAssembler(PACKET_BYTES_MAX);
  let user: string | null = null;
  const onProxy = (chunk: Buffer) => {
    fromProxy.push(chunk);
    const response = fromProxy.next();
    if (response === null) return;
    user = decodeHandshakeResponse41(response.payload).user;
    proxy.off('data', onProxy);
  };
  const onServer = (chunk: Buffer) => {
    fromServer.push(chunk);
    for (let next = fromServer.next(); next !== null; next = fromServer.next()) {
      const { payload } = next;
      if (user === null) continue;
      const way = payload.length === 2 && payload[0] === AUTH_MORE_DATA && WAYS[payload[1] ?? 0];
      if (way) note(user, way);
      if (payload[0] === 0x00 || payload[0] === 0xff) upstream.off('data', onServer);
    }
  };
  proxy.on('data', onProxy);
  upstream.on('data', onServer);
}
