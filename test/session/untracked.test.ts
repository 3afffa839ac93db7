/**
 * Servers whose answers are none by the grammar: what comes is passed on all the same, and an
 * answer of ours is still at its place, as that never depends on having followed theirs.
 */
import { afterEach, expect, test } from '@jest/globals';
import { encodePacket } from '../../src/wire/framing.js';
import { decodeErr } from '../../src/wire/response.js';
import { conversation, exchange, payload } from '../support/conversation.js';
import {
  answerMarker,
  type Bench,
  type Connected,
  endListener,
  logIn,
  openBench,
  passes,
} from '../support/session-bench.js';

const NAME = 'mysql-9.7/deprecate-eof';
const OK = exchange(NAME, 'COM_PING').answer;
const PING = encodePacket(Buffer.from([0x0e]), 0);

let bench: Bench | null = null;

async function loggedIn(): Promise<Connected> {
  bench = await openBench();
  return logIn(bench, NAME);
}

afterEach(async () => {
  await bench?.close();
  bench = null;
});

async function relays({ client, server }: Connected, asked: Buffer, answer: Buffer): Promise<void> {
  if (asked.length > 0) await passes(client, server, asked);
  await passes(server, client, answer);
}

/** A statement that is refused is answered once, in sequence, and nothing of it goes on. */
async function refuses({ client, server }: Connected): Promise<void> {
  client.send(encodePacket(Buffer.from('\x06shop'), 0), PING);
  await answerMarker(server);
  const packet = await client.packet();
  expect([packet[3], decodeErr(payload(packet)).errno]).toEqual([1, 1047]);
  expect((await server.take(PING.length)).equals(PING)).toBe(true);
  await passes(server, client, OK);
}

test('a packet that nobody asked for is passed on, and the session works on (wire 18)', async () => {
  const connected = await loggedIn();
  await relays(connected, Buffer.alloc(0), OK);
  await relays(connected, PING, OK);
  await refuses(connected);
});

test('a session that can’t be followed ends when a drain is over, not before (wire 18)', async () => {
  const connected = await loggedIn();
  await relays(connected, Buffer.alloc(0), OK);
  if (bench === null) throw new Error('nothing is open');
  const hurry = new AbortController();
  const draining = endListener(bench.listener, { timeoutMs: 60_000, signal: hurry.signal });
  await relays(connected, PING, OK);
  expect(connected.client.isEnded).toBe(false);
  hurry.abort();
  await draining;
  await connected.client.ended();
});

test('EOF packets where they are deprecated, as of a query cache, are survived (wire 47)', async () => {
  // What MySQL 5.7 has kept for a client with EOF packets it also says to one without.
  const asEof = conversation('mysql-9.7/eof').exchanges.find(
    ({ title }) => title === 'one row of two columns, one of them NULL',
  );
  if (asEof === undefined) throw new Error('there is no such exchange');
  const asked = encodePacket(Buffer.from('\x03SELECT 1'), 0);
  const connected = await loggedIn();
  for (let times = 0; times < 3; times++) await relays(connected, asked, asEof.answer);
  await relays(connected, PING, OK);
  await refuses(connected);
});
