/** When a long text of a session takes memory, and in whose name. */
import { jest } from '@jest/globals';
import { textRoom } from '../../../src/session/gate/text-room.js';
import type { Bench, Connected } from '../../support/session-bench.js';
import { logIn, OK, openBench, passes, queryPacket } from '../../support/session-bench.js';

const SELECT = queryPacket('SELECT 1');
const LONG = queryPacket(`UPDATE t SET a = '${'x'.repeat(400_000)}'`);
const HUGE = queryPacket(`UPDATE t SET a = '${'x'.repeat(16_000_000)}'`);

let bench: Bench;
let connected: Connected;
const enter = jest.spyOn(textRoom, 'enter');

beforeEach(async () => {
  enter.mockClear();
  bench = await openBench();
  connected = await logIn(bench);
});

afterEach(async () => {
  connected.client.end();
  connected.server.end();
  await bench.close();
});

test('behind a statement it takes none until the server has answered that', async () => {
  const { client, server } = connected;
  client.send(SELECT, LONG);
  expect((await server.take(SELECT.length)).equals(SELECT)).toBe(true);
  expect(enter).not.toHaveBeenCalled();
  await passes(server, client, OK);
  expect((await server.take(LONG.length)).equals(LONG)).toBe(true);
  await passes(server, client, OK);
  expect(enter).toHaveBeenCalledTimes(1);
});

test('behind another long text it takes none either, and not the memory of that', async () => {
  const { client, server } = connected;
  const left = jest.fn<() => void>();
  const { enter: really } = Object.getPrototypeOf(textRoom) as typeof textRoom;
  enter.mockImplementationOnce((...how) => {
    const place = really.call(textRoom, ...how);
    left.mockImplementation(place.leave);
    return { ...place, leave: left };
  });
  client.send(LONG, LONG);
  for (const count of [1, 2]) {
    expect((await server.take(LONG.length)).equals(LONG)).toBe(true);
    expect(enter).toHaveBeenCalledTimes(count);
    await passes(server, client, OK);
  }
  expect(left).toHaveBeenCalled();
});

test('where it can’t be known what was answered, it ends the session', async () => {
  const { client, server } = connected;
  await passes(server, client, OK);
  client.send(LONG);
  await client.ended();
  expect(enter).not.toHaveBeenCalled();
});

test.each(['all of it', 'half of it'])(
  'the memory is released when the session ends with %s sent',
  async (sent) => {
    const { client, server } = connected;
    const leave = jest.fn<() => void>();
    enter.mockReturnValueOnce({ grow: () => true, arrived: () => undefined, leave });
    // The server does not read, so that the sink stays full.
    server.handOver();
    client.send(sent === 'all of it' ? HUGE : HUGE.subarray(0, HUGE.length >> 1));
    await client.until('held', () => (bench.counters.bytesFromClients ?? 0) > HUGE.length >> 1);
    expect(leave).not.toHaveBeenCalled();
    bench.listener.cut();
    expect(leave).toHaveBeenCalled();
  },
);

test('the memory counts for a name at its address, as the name alone may be another’s', async () => {
  const { client, server } = connected;
  client.send(LONG);
  await server.take(LONG.length);
  const [[, owner] = []] = enter.mock.calls;
  expect(owner?.account).toMatch(/^\w+ from 127\.0\.0\.1$/);
});
