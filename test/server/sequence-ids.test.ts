/**
 * The gate lets packets pass whose sequence id is not 0, as no server takes them for commands. This
 * is what it relies on, asked of every server.
 */
import net from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { encodePacket } from '../../src/wire/framing.js';
import { exchange } from '../support/conversation.js';
import { type ProxyTarget, proxyInFront } from '../support/proxy.js';
import { freshSchema, query, testServers } from '../support/servers.js';
import { Peer } from '../support/session-bench.js';

describe.each(testServers())('$name', (server) => {
  let proxy: ProxyTarget;
  let schema = '';
  let drop: () => Promise<void>;

  beforeAll(async () => {
    const fresh = await freshSchema(server);
    schema = fresh.name;
    drop = fresh.drop;
    await query(server, `CREATE TABLE ${schema}.t (id INT)`);
    proxy = await proxyInFront(server);
  });

  afterAll(async () => {
    await proxy.stop();
    await drop();
  });

  /** Logged in as root, whose empty password needs no scramble. */
  async function loggedIn(): Promise<Peer> {
    const peer = new Peer(net.connect({ host: proxy.host, port: proxy.port, noDelay: true }));
    await peer.packet();
    const [, response] = exchange(`${server.name}/eof`, 'login').spoken;
    peer.send(response?.packet ?? Buffer.alloc(0));
    expect((await peer.packet())[4]).toBe(0x00);
    return peer;
  }

  const dropAs = (sequenceId: number) =>
    encodePacket(Buffer.from(`\x03DROP TABLE ${schema}.t`), sequenceId);

  test.each([
    ['sequence id 1', () => [dropAs(1)]],
    ['sequence id 255', () => [dropAs(255)]],
    ['0 behind something with 255', () => [encodePacket(Buffer.from('x'), 255), dropAs(0)]],
    ['0 behind an empty packet with 255', () => [encodePacket(Buffer.alloc(0), 255), dropAs(1)]],
  ])('a DROP with %s drops nothing, and the session is over', async (_ids, packets) => {
    const peer = await loggedIn();
    peer.send(...packets());
    await peer.ended();
    const rows = await query(server, `SHOW TABLES FROM ${schema}`);
    expect(rows).toHaveLength(1);
  });
});
