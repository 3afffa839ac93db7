/**
 * The one way to read a payload: bounded, field by field, in the manual's basic types.
 * https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_data_types.html
 *
 * Invariant: no read goes past the payload; a payload that is too short causes a
 * `MalformedPacketError` with packet, field, offset, and the wanted and remaining bytes.
 */

/** A payload that violates the protocol. */
export class MalformedPacketError extends Error {
  override readonly name = 'MalformedPacketError';
}

export class PacketReader {
  readonly #bytes: Buffer;
  readonly #packet: string;
  #offset = 0;

  /** `packet`: its name in the manual, for the error text. */
  constructor(bytes: Buffer, packet: string) {
    this.#bytes = bytes;
    this.#packet = packet;
  }

  get offset(): number {
    return this.#offset;
  }

  get left(): number {
    return this.#bytes.length - this.#offset;
  }

  /** `int<size>`, up to `int<4>`. */
  int(size: 1 | 2 | 3 | 4, field: string): number {
    return this.bytes(size, field).readUIntLE(0, size);
  }

  /**
   * `int<lenenc>`, as a number. Counts and lengths beyond 2^53 count as malformed, because they
   * don't occur. 0xFB (NULL) and 0xFF aren't lengths.
   */
  lenencInt(field: string): number {
    const first = this.int(1, field);
    if (first < 0xfb) return first;
    if (first === 0xfc) return this.int(2, field);
    if (first === 0xfd) return this.int(3, field);
    if (first !== 0xfe) this.#fail(field, `0x${first.toString(16)} is no length`);
    const value = this.bytes(8, field).readBigUInt64LE(0);
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) this.#fail(field, `${value} is out of range`);
    return Number(value);
  }

  /** `string<lenenc>`. */
  lenencBytes(field: string): Buffer {
    return this.bytes(this.lenencInt(field), field);
  }

  /** `string<lenenc>` or NULL (0xFB), as in a text result row. */
  lenencBytesOrNull(field: string): Buffer | null {
    if (this.#bytes[this.#offset] !== 0xfb) return this.lenencBytes(field);
    this.#offset++;
    return null;
  }

  /** `string<NUL>`, without the NUL. */
  nulBytes(field: string): Buffer {
    const end = this.#bytes.indexOf(0, this.#offset);
    if (end < 0) this.#fail(field, 'no terminating NUL');
    const bytes = this.#bytes.subarray(this.#offset, end);
    this.#offset = end + 1;
    return bytes;
  }

  /** `string<fix>`: exactly `count` bytes, a view on the payload. */
  bytes(count: number, field: string): Buffer {
    if (count > this.left) this.#fail(field, `wanted ${count} bytes, ${this.left} left`);
    const bytes = this.#bytes.subarray(this.#offset, this.#offset + count);
    this.#offset += count;
    return bytes;
  }

  /** `string<EOF>`: all remaining bytes. */
  rest(): Buffer {
    return this.bytes(this.left, 'rest');
  }

  #fail(field: string, problem: string): never {
    throw new MalformedPacketError(
      `${this.#packet}: ${field} at offset ${this.#offset}: ${problem}.`,
    );
  }
}

/** Bytes of an `int<lenenc>` that starts with `first`. */
export function lenencBytes(first: number): number {
  if (first < 0xfb) return 1;
  if (first === 0xfc) return 3;
  return first === 0xfd ? 4 : 9;
}

/** Value of the `int<lenenc>` at the start of `head`; column counts need no more than 24 bits. */
export function lenencValue(head: Buffer): number {
  const first = head[0] ?? 0;
  if (first < 0xfb) return first;
  return first === 0xfc ? head.readUInt16LE(1) : head.readUIntLE(1, 3);
}
