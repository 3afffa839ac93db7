/** One direction of a session: bytes in their order, and no reading while the sink is full. */

import type { Socket } from 'node:net';
import { PassThrough, Writable } from 'node:stream';
import { describe, expect, test } from '@jest/globals';
import { Pump } from '../../src/relay/pump.js';

/** A sink that takes bytes only when told to. */
class SlowSink extends Writable {
  readonly taken: Buffer[] = [];
  #waiting: (() => void)[] = [];

  constructor() {
    super({ highWaterMark: 4 });
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.taken.push(chunk);
    this.#waiting.push(done);
  }

  /** Takes what is there; resolves when the stream has said so. */
  async release(): Promise<void> {
    for (const done of this.#waiting.splice(0)) done();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

function pumped(): { source: PassThrough; sink: SlowSink; pump: Pump; seen: string[] } {
  const source = new PassThrough();
  const sink = new SlowSink();
  const seen: string[] = [];
  const pump = new Pump(source as unknown as Socket, sink as unknown as Socket, (chunk) => {
    seen.push(chunk.toString());
    pump.write(chunk);
  });
  return { source, sink, pump, seen };
}

async function arrive(source: PassThrough, text: string): Promise<void> {
  source.write(text);
  await new Promise((resolve) => setImmediate(resolve));
}

describe('back-pressure', () => {
  test('a full sink stops the source until it has drained', async () => {
    const { source, sink, seen } = pumped();
    await arrive(source, 'abcdef');
    expect(source.isPaused()).toBe(true);
    await arrive(source, 'ghi');
    expect(seen).toEqual(['abcdef']);
    await sink.release();
    expect(source.isPaused()).toBe(false);
    await new Promise((resolve) => setImmediate(resolve));
    expect(seen).toEqual(['abcdef', 'ghi']);
  });

  test('nothing of it is kept but in the sink’s own buffer', async () => {
    const { source, sink } = pumped();
    for (let round = 0; round < 50; round++) await arrive(source, 'abcdef');
    expect(sink.writableLength).toBe(6);
  });

  test('a sink with room stops nothing', async () => {
    const { source, seen } = pumped();
    await arrive(source, 'ab');
    expect(source.isPaused()).toBe(false);
    expect(seen).toEqual(['ab']);
  });
});

describe('a hold', () => {
  test('stops the source until it is released', async () => {
    const { source, pump, seen } = pumped();
    pump.hold();
    await arrive(source, 'ab');
    expect(seen).toEqual([]);
    pump.release();
    await new Promise((resolve) => setImmediate(resolve));
    expect(seen).toEqual(['ab']);
  });

  test('outlasts a drain of the sink', async () => {
    const { source, sink, pump } = pumped();
    await arrive(source, 'abcdef');
    pump.hold();
    await sink.release();
    expect(source.isPaused()).toBe(true);
    pump.release();
    expect(source.isPaused()).toBe(false);
  });

  test('released over a full sink waits for the drain', async () => {
    const { source, sink, pump } = pumped();
    await arrive(source, 'abcdef');
    pump.hold();
    pump.release();
    expect(source.isPaused()).toBe(true);
    await sink.release();
    expect(source.isPaused()).toBe(false);
  });
});

test('a sink that has ended is not written to', async () => {
  const { sink, pump } = pumped();
  sink.end();
  pump.write(Buffer.from('late'));
  pump.write(Buffer.alloc(0));
  expect(sink.taken).toEqual([]);
});
