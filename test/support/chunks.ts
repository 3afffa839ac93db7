/** Ways to cut bytes into chunks, as a network may. */
import fc from './properties.js';

/** Every cut of `bytes` into two chunks of which neither is empty. */
export function everySplit(bytes: Buffer): readonly (readonly [Buffer, Buffer])[] {
  expect(bytes.length).toBeGreaterThan(1);
  return Array.from({ length: bytes.length - 1 }, (_, index) => [
    bytes.subarray(0, index + 1),
    bytes.subarray(index + 1),
  ]);
}

/** `bytes` one by one. */
export function singleBytes(bytes: Buffer): readonly Buffer[] {
  return Array.from(bytes, (byte) => Buffer.from([byte]));
}

/** `bytes` cut after pieces of the lengths `sizes`, which start again when they are used up. */
export function cut(bytes: Buffer, sizes: readonly number[]): readonly Buffer[] {
  const chunks: Buffer[] = [];
  for (let from = 0, index = 0; from < bytes.length; index++) {
    const size = Math.max(1, sizes[index % Math.max(1, sizes.length)] ?? bytes.length);
    chunks.push(bytes.subarray(from, from + size));
    from += size;
  }
  return chunks;
}

/** Lengths for `cut`: mostly tiny ones, as those cut headers. */
export const chunkSizes: fc.Arbitrary<readonly number[]> = fc.array(
  fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 8 }), fc.integer({ min: 1, max: 5_000 })),
  { minLength: 1, maxLength: 12 },
);

/** Every beginning of `bytes` that is shorter than it, the empty one too. */
export function truncations(bytes: Buffer): readonly Buffer[] {
  return Array.from({ length: bytes.length }, (_, length) => bytes.subarray(0, length));
}

/**
 * Hands `chunk` over as the relay does: in memory that is valid during the call only, and is
 * something else afterwards. Who kept a view on it is found out.
 */
export function lend<Result>(chunk: Buffer, use: (memory: Buffer) => Result): Result {
  const memory = Buffer.from(chunk);
  const result = use(memory);
  memory.fill(0xee);
  return result;
}

/** The packets that `bytes` are, framed. */
export function packetsIn(bytes: Buffer): readonly Buffer[] {
  const packets: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = at + 4 + bytes.readUIntLE(at, 3);
    packets.push(bytes.subarray(at, end));
    at = end;
  }
  return packets;
}
