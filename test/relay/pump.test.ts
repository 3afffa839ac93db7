/** One direction of a session: bytes in their order, and no reading while the sink is full. */
import { type ByteStream, Pump } from '../../src/relay/byte-stream.js';

class FakeStream implements ByteStream {
  onDrain: () => void = () => undefined;
  readonly written: string[] = [];
  isReading = false;
  hasRoom = true;
  #onChunk: (chunk: Buffer) => void = () => undefined;

  start(onChunk: (chunk: Buffer) => void): void {
    this.#onChunk = onChunk;
    this.isReading = true;
  }

  write(bytes: Buffer): boolean {
    this.written.push(bytes.toString());
    return this.hasRoom;
  }

  pause(): void {
    this.isReading = false;
  }

  resume(): void {
    this.isReading = true;
  }

  detach(): void {
    this.isReading = false;
  }

  /** A chunk comes, where anybody reads. */
  arrive(text: string): void {
    if (!this.isReading) throw new Error('nobody reads');
    this.#onChunk(Buffer.from(text));
  }

  drain(): void {
    this.hasRoom = true;
    this.onDrain();
  }
}

function pumped(): { source: FakeStream; sink: FakeStream; pump: Pump } {
  const source = new FakeStream();
  const sink = new FakeStream();
  const pump = new Pump(source, sink);
  source.start((chunk) => pump.write(chunk));
  return { source, sink, pump };
}

test('nothing is written of an empty chunk', () => {
  const { sink, pump } = pumped();
  pump.write(Buffer.alloc(0));
  expect(sink.written).toEqual([]);
});

describe('a hold', () => {
  test('stops the source until it is released', () => {
    const { source, pump } = pumped();
    pump.hold();
    expect(source.isReading).toBe(false);
    pump.release();
    expect(source.isReading).toBe(true);
  });

  test('outlasts a drain of the sink', () => {
    const { source, sink, pump } = pumped();
    sink.hasRoom = false;
    source.arrive('ab');
    pump.hold();
    sink.drain();
    expect(source.isReading).toBe(false);
    pump.release();
    expect(source.isReading).toBe(true);
  });

  test('released over a full sink waits for the drain', () => {
    const { source, sink, pump } = pumped();
    sink.hasRoom = false;
    source.arrive('ab');
    pump.hold();
    pump.release();
    expect(source.isReading).toBe(false);
    sink.drain();
    expect(source.isReading).toBe(true);
  });
});
