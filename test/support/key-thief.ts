/**
 * Who stands on the way to the server and answers in its place, with a key and a certificate of
 * their own: what a login gives them. A real server can't play that.
 */
import { once } from 'node:events';
import net from 'node:net';
import { encodePacket, HEADER_BYTES } from '../../src/wire/framing.js';
import { encodeErr } from '../../src/wire/response.js';
import { greetingWith } from './conversation.js';
import { ownAddress } from './own-address.js';
import { portOf } from './poll.js';
import { Peer } from './session-bench.js';
import { Sha2Server } from './sha2-server.js';
import { acceptTls } from './tls-peers.js';

/** What the next connection meets. */
export interface Trick {
  readonly asks: 'caching_sha2_password' | 'sha256_password' | 'mysql_clear_password';
  /** With which it does TLS; null: it offers none. */
  readonly certificate: { readonly cert: string; readonly key: string } | null;
}

export type Loot = Awaited<ReturnType<typeof rob>>;

export type KeyThief = Awaited<ReturnType<typeof openKeyThief>>;

/** `password`: what it knows a success by. */
export async function openKeyThief(password: string, first: Trick) {
  const found: Promise<Loot>[] = [];
  const sockets = new Set<net.Socket>();
  const listener = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    found.push(rob(new Peer(socket), thief.trick, password));
  });
  const host = ownAddress();
  const port = await portOf(listener, host);
  const thief = {
    ...{ host, port, trick: first },
    /** What the oldest login gave that was not asked for yet. */
    loot: async () => {
      const oldest = found.shift();
      if (oldest === undefined) throw new Error('nobody came');
      return oldest;
    },
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await once(listener.close(), 'close');
    },
  };
  return thief;
}

const DENIED = Buffer.from('Access denied');
const REFUSAL = encodeErr({ errno: 1045, sqlState: '28000', message: DENIED });

/**
 * `hasPassword`: the password itself came out; `wasLeft`: the other side went before it was
 * refused, which a server counts against its address.
 */
async function rob(plain: Peer, { asks, certificate }: Trick, password: string) {
  let peer = plain;
  const isClear = asks === 'mysql_clear_password';
  const leg = certificate === null ? ('plain' as const) : ('tls' as const);
  const out = (bytes: Buffer) => {
    if (isGreeting) return peer.send(greetingWith(bytes, certificate !== null));
    // There is nothing behind the login.
    peer.send(server.outcome === 'OK' ? encodePacket(REFUSAL, bytes[3] ?? 0) : bytes);
  };
  const plugin = isClear ? 'caching_sha2_password' : asks;
  let isGreeting = true;
  const greets = isClear ? 'mysql_native_password' : 'caching_sha2_password';
  const server: Sha2Server = new Sha2Server({ plugin, password, leg, greets, out });
  server.greet();
  isGreeting = false;
  let inTls = false;
  for (let packets = 0; server.outcome === null; packets++) {
    const framed = await peer.packet().catch(() => null);
    if (framed === null) return { inTls, hasPassword: false, wasLeft: true };
    const payload = framed.subarray(HEADER_BYTES);
    const isRequest = packets === 0 && payload.length === 32;
    if (isClear && !isRequest) return await robInClear(peer, framed, { inTls, password });
    // An SSLRequest that isn't there is one that was declined.
    if (certificate !== null && packets === 0 && !isRequest) throw new Error('expected TLS');
    server.receive(framed);
    if (!isRequest || certificate === null) continue;
    peer = await acceptTls(peer, certificate);
    inTls = true;
  }
  return { inTls, hasPassword: server.outcome === 'OK', wasLeft: false };
}

async function robInClear(
  peer: Peer,
  framed: Buffer,
  { inTls, password }: { readonly inTls: boolean; readonly password: string },
) {
  const sequenceId = (framed[3] ?? 0) + 1;
  peer.send(encodePacket(Buffer.from('\xfemysql_clear_password\0', 'latin1'), sequenceId));
  const answer = await peer.packet().catch(() => null);
  if (answer === null) return { inTls, hasPassword: false, wasLeft: true };
  peer.send(encodePacket(REFUSAL, sequenceId + 2));
  return { inTls, hasPassword: answer.includes(password), wasLeft: false };
}
