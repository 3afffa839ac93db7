/** Bytes that wait to be whole: nothing gets lost, and they cost no more than their size. */
import { CommandGate } from '../../src/session/gate/command-gate.js';
import { GrowingBuffer, PacketAssembler } from '../../src/wire/framing.js';
import { chunkSizes, cut, lend } from '../support/chunks.js';
import fc from '../support/properties.js';

const MIB = 1024 * 1024;

/** What `work` allocates and keeps, at most. */
function grownBytes(work: () => unknown): number {
  const used = () => {
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
  };
  const before = used();
  const kept = work();
  const grown = used() - before;
  expect(kept).toBeDefined();
  return grown;
}

describe('bytes that wait', () => {
  test('come out as they came, taken in any pieces', () =>
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 5_000 }), chunkSizes, chunkSizes, (all, ins, outs) => {
        const buffer = new GrowingBuffer();
        const taken: Buffer[] = [];
        let turn = 0;
        for (const chunk of cut(Buffer.from(all), ins)) {
          lend(chunk, (memory) => buffer.push(memory));
          const count = Math.min(outs[turn++ % outs.length] ?? 0, buffer.length);
          taken.push(buffer.take(count));
        }
        expect(buffer.bytes).toHaveLength(buffer.length);
        taken.push(buffer.take());
        expect(buffer.length).toBe(0);
        expect(Buffer.concat(taken).equals(all)).toBe(true);
      }),
    ));

  test('of a login, one by one, cost a few times their size at most', () => {
    const grown = grownBytes(() => {
      const assembler = new PacketAssembler(2 * MIB);
      assembler.push(Buffer.of(0xff, 0xff, 0x0f, 0));
      const byte = Buffer.of(1);
      for (let count = 0; count < MIB - 2; count++) assembler.push(byte);
      expect(assembler.next()).toBeNull();
      return assembler;
    });
    expect(grown).toBeLessThan(16 * MIB);
  });

  test('of a statement, one by one, cost a few times their size at most', () => {
    const grown = grownBytes(() => {
      const passes = () => true;
      const gate = new CommandGate(
        {
          connections: { toServer: () => undefined },
          onCommand: () => undefined,
          letThrough: passes,
          letLongPass: passes,
          onLongGrown: () => undefined,
        },
        {
          handles: { isWatching: false, watchesNames: false, takes: () => false },
          protect: new Set(),
          isAllAnswered: () => false,
        },
      );
      gate.feed(Buffer.of(0xff, 0xff, 0x03, 0, 0x03));
      const byte = Buffer.from('x');
      for (let count = 0; count < 250_000; count++) gate.feed(byte);
      expect(gate.atCommandEdge).toBe(false);
      return gate;
    });
    expect(grown).toBeLessThan(8 * MIB);
  });
});
