/** Room for long texts: what is taken is bounded, and whoever waits gets it in order. */
import { expect, test } from '@jest/globals';
import { TextRoom } from '../../../src/session/gate/text-room.js';

const never = new AbortController().signal;
const nobody = () => undefined;

test('room is given in order, as it gets free', async () => {
  const room = new TextRoom({ bytesMax: 200 });
  const first = await room.take(60, never, nobody);
  const second = await room.take(40, never, nobody);
  const entered: string[] = [];
  const big = room.take(80, never, nobody).then((place) => {
    entered.push('big');
    return place;
  });
  const small = room.take(10, never, nobody).then((place) => {
    entered.push('small');
    return place;
  });
  second.leave();
  await Promise.resolve();
  expect(entered).toEqual([]);
  first.leave();
  first.leave();
  const places = await Promise.all([big, small]);
  expect(entered).toEqual(['big', 'small']);
  for (const place of places) place.leave();
  (await room.take(100, never, nobody)).leave();
});

test('whoever waits gives up when the session is over, or in time', async () => {
  const room = new TextRoom({ bytesMax: 100, waitMsMax: 1 });
  const place = await room.take(50, never, nobody);
  const over = new AbortController();
  const late = { code: 'UNDROP_LONG_TEXT' };
  const waiting = [never, over.signal].map((signal) =>
    expect(room.take(50, signal, nobody)).rejects.toMatchObject(late),
  );
  over.abort();
  await Promise.all(waiting);
  place.leave();
  (await room.take(50, never, nobody)).leave();
});

test('room is given back when the session of whoever has it is over', async () => {
  const room = new TextRoom({ bytesMax: 100, waitMsMax: 1 });
  const over = new AbortController();
  const place = await room.take(50, over.signal, nobody);
  over.abort();
  const next = await room.take(50, never, nobody);
  place.leave();
  await expect(room.take(50, never, nobody)).rejects.toMatchObject({ code: 'UNDROP_LONG_TEXT' });
  next.leave();
});
