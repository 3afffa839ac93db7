/**
 * Thousands of sessions that end in every way, some of them at once: afterwards no socket is left,
 * and the counters are where they were.
 */
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import net from 'node:net';
import { jest } from '@jest/globals';
import { chooseRelay } from '../../src/relay/raw-handle.js';
import { encodePacket } from '../../src/wire/framing.js';
import { breakOff } from '../support/break-off.js';
import { portOf, until } from '../support/poll.js';
import { rounds } from '../support/sample.js';
import { GREETING, LOGIN, OK, openBench, Peer, PING, RESPONSE } from '../support/session-bench.js';

jest.setTimeout(rounds(600_000, 120_000));

const SESSIONS = rounds(5_000, 1_000);
const AT_A_TIME = 50;
const REST = LOGIN.slice(2);
const ANSWERS = REST.filter(({ by }) => by === 'server').map(({ packet }) => packet);
const QUIT = encodePacket(Buffer.of(0x01), 0);

/** It lets everybody in, answers each packet, and hangs up on whoever says COM_DEBUG. */
function serverSide(socket: net.Socket): void {
  let packets = 0;
  socket.on('error', () => undefined);
  socket.write(GREETING);
  socket.on('data', (chunk: Buffer) => {
    packets++;
    const command = chunk[4];
    if (packets === 1 || chunk[3] !== 0) socket.write(Buffer.concat(ANSWERS));
    else if (command === 0x01) socket.end();
    else if (command === 0x0d) breakOff(socket);
    else socket.write(OK);
  });
}

const arrive = async () => undefined;
const greeted = (client: Peer) => client.packet();

async function logIn(client: Peer): Promise<void> {
  await client.packet();
  client.send(RESPONSE);
  await client.packet();
}

/** How far a client comes, what it sends then, and how it goes: also when the server has gone. */
const ENDS: readonly (readonly [
  come: (client: Peer) => Promise<unknown>,
  sent: Buffer,
  go: 'end' | 'destroy' | 'behind it',
])[] = [
  [arrive, Buffer.alloc(0), 'end'],
  [arrive, Buffer.alloc(0), 'destroy'],
  [greeted, Buffer.alloc(0), 'end'],
  [greeted, Buffer.alloc(0), 'destroy'],
  [greeted, RESPONSE.subarray(0, 10), 'destroy'],
  [greeted, RESPONSE, 'destroy'],
  [logIn, Buffer.alloc(0), 'end'],
  [logIn, PING, 'destroy'],
  [logIn, QUIT, 'behind it'],
  [logIn, encodePacket(Buffer.of(0x0d), 0), 'behind it'],
];

async function visitAs(client: Peer, nr: number): Promise<void> {
  const [come, sent, go] = ENDS[nr % ENDS.length] ?? [arrive, Buffer.alloc(0), 'end'];
  await come(client);
  if (sent.length > 0) client.send(sent);
  if (go === 'destroy') return client.destroy();
  if (go === 'behind it') await client.ended();
  client.end();
}

test('after thousands of sessions files and counters are where they were (wire 51)', async () => {
  expect(await chooseRelay()).toBe('raw');
  const server = net.createServer(serverSide);
  const upstreams = [{ host: '127.0.0.1', port: await portOf(server) }];
  await using opened = await openBench({ upstreams });
  const [address] = opened.addresses;
  if (address === undefined || 'socketPath' in address) throw new Error('expected a TCP address');
  const openFiles = () => readdirSync('/proc/self/fd').length;
  const before = openFiles();
  let begun = 0;
  const visit = async () => {
    while (begun < SESSIONS) {
      const nr = begun++;
      const socket = net.connect({ ...address, allowHalfOpen: true });
      socket.on('error', () => undefined);
      await once(socket, 'connect');
      await visitAs(new Peer(socket), nr);
    }
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, visit));
  await until(() => opened.listener.openSessions === 0, 'the end of all sessions');
  // One that was reset before it was accepted is none.
  expect(opened.counters.sessionsTotal).toBeGreaterThan(SESSIONS * 0.85);
  expect(opened.counters).toMatchObject({ sessionsOpen: 0, sessionsRefused: 0 });
  await until(() => openFiles() <= before, 'the end of all sockets');
  server.close();
});
