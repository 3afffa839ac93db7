/**
 * Somebody doesn't read for a while, on real servers: the other side has to wait, the proxy keeps
 * no more than its buffers, and afterwards everything arrives.
 */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type net from 'node:net';
import { onServers } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { spawnProxy, workerPids } from '../support/proxy.js';
import { frame } from '../support/raw-client.js';
import { query, type Target } from '../support/servers.js';
import { Peer } from '../support/session-bench.js';
import { openTcpRelay } from '../support/tcp-relay.js';
import { openPeer } from '../support/wire-talk.js';

const MIB = 1024 * 1024;
const ROWS = 240;
const ROW_BYTES = 1_000_000;
const TEXTS = 80;
const TEXT_BYTES = 3_000_000;
/** While next to nothing moves: the buffers of two directions. */
const STALLED_GROWTH_BYTES_MAX = 40 * MIB;
/** While all of it moves, also the buffers that the garbage collector hasn't freed yet. */
const MOVING_GROWTH_BYTES_MAX = 160 * MIB;

onServers('slow peers in front of $name', (server, on) => {
  const { beforeAll, test } = on;
  const schema = on.schema('slow');
  const way = on.open(() => stoppableWay(server));
  beforeAll(async () => {
    const rows = Array.from({ length: ROWS }, (_, id) => `(${id})`);
    await query(
      server,
      `CREATE TABLE ${schema.name}.n (id INT PRIMARY KEY)`,
      `INSERT INTO ${schema.name}.n VALUES ${rows.join(', ')}`,
    );
  });
  const proxy = on.each.open(() => spawnProxy(way));

  function memory(field: 'VmRSS' | 'VmHWM'): number {
    const status = readFileSync(`/proc/${workerPids(proxy)[0]}/status`, 'utf8');
    return Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(status)?.[1]) * 1024;
  }

  test('a client that does not read makes the server wait, and gets it all (wire 49)', async () => {
    const { peer, threadId } = await openPeer(server.name, proxy);
    const socket = peer.handOver();
    const before = memory('VmRSS');
    const text = `SELECT REPEAT('x', ${ROW_BYTES}) FROM ${schema.name}.n`;
    socket.write(frame(Buffer.from(`\x03${text}`), 0));
    await waitsForItsClient(server, threadId);
    expect(memory('VmHWM') - before).toBeLessThan(STALLED_GROWTH_BYTES_MAX);
    let received = 0;
    socket.on('data', (chunk: Buffer) => {
      received += chunk.length;
    });
    socket.resume();
    // A header and an int<lenenc> of four bytes before each value.
    await until(() => received > ROWS * (ROW_BYTES + 8), 'all rows', 60_000);
    expect(memory('VmHWM') - before).toBeLessThan(MOVING_GROWTH_BYTES_MAX);
    socket.end(frame(Buffer.from([1]), 0));
    await once(socket, 'close');
  });

  test('a server that does not read makes the client wait, and gets it all (wire 50)', async () => {
    const socket = (await openPeer(server.name, proxy)).peer.handOver();
    const text = frame(Buffer.from(`\x03SELECT LENGTH('${'x'.repeat(TEXT_BYTES)}')`), 0);
    const peer = new Peer(socket.resume());
    const before = memory('VmRSS');
    way.stop();
    for (let count = 0; count < TEXTS; count++) socket.write(text);
    await standsStill(() => socket.writableLength);
    expect(socket.writableLength).toBeGreaterThan((TEXTS * TEXT_BYTES) / 2);
    expect(memory('VmHWM') - before).toBeLessThan(STALLED_GROWTH_BYTES_MAX);
    way.goOn();
    for (let count = 0; count < TEXTS; count++) {
      const packets: Buffer[] = [];
      while (packets.length < 5) packets.push(await peer.packet());
      expect(packets[3]?.toString()).toContain(String(TEXT_BYTES));
    }
    expect(memory('VmHWM') - before).toBeLessThan(MOVING_GROWTH_BYTES_MAX);
    peer.send(frame(Buffer.from([1]), 0));
    await peer.ended();
    peer.destroy();
  });
});

/** It has sent what it could: its command is under way, and the same at every look. */
async function waitsForItsClient(server: Target, threadId: number): Promise<void> {
  let looks = 0;
  await until(async () => {
    const [row] = await query<{ state: string; command: string }>(
      server,
      `SELECT COMMAND AS command, STATE AS state FROM information_schema.PROCESSLIST
       WHERE ID = ${threadId}`,
    );
    looks = row?.command === 'Query' && /net|client|data/i.test(row.state) ? looks + 1 : 0;
    return looks >= 10;
  }, 'a server that waits');
}

/** Resolves when the number is the same, and not 0, at ten looks. */
async function standsStill(read: () => number): Promise<void> {
  let [last, looks] = [0, 0];
  await until(() => {
    const now = read();
    looks = now > 0 && now === last ? looks + 1 : 0;
    last = now;
    return looks >= 10;
  }, 'a number that stands still');
}

/** A relay to the server that reads nothing of what comes from the proxy while it is stopped. */
async function stoppableWay(server: Target) {
  const pairs: (readonly [fromProxy: net.Socket, server: net.Socket])[] = [];
  const relay = await openTcpRelay(server, (...pair) => pairs.push(pair));
  return {
    ...relay,
    stop: () => {
      for (const [fromProxy, upstream] of pairs) fromProxy.unpipe(upstream);
    },
    goOn: () => {
      for (const [fromProxy, upstream] of pairs) fromProxy.pipe(upstream);
    },
  };
}
