/**
 * Packet framing: `int<3> payload_length | int<1> sequence_id | payload`. A payload of exactly
 * 0xFFFFFF bytes is continued by the next packet, which may be empty.
 * https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_packets.html
 *
 * Invariant: a length from a peer is compared with a maximum before anything is allocated for it; a
 * growing buffer holds at most about twice its bytes.
 */
import { UndropError } from '../errors.js';

/** Bytes of a packet header. */
export const HEADER_BYTES = 4;
/** The longest payload of one packet; a packet of this length is continued by the next one. */
export const PAYLOAD_BYTES_MAX = 0xffffff;

/** A logical packet: the payloads of all its parts, and the sequence id of the last part. */
export interface Packet {
  readonly payload: Buffer;
  readonly sequenceId: number;
}

/** The number of packets for a payload of that length. */
export function packetCount(payloadBytes: number): number {
  return Math.floor(payloadBytes / PAYLOAD_BYTES_MAX) + 1;
}

/** Frames `payload`, in several packets if it is too long for one. */
export function encodePacket(payload: Uint8Array, sequenceId: number): Buffer {
  const parts = packetCount(payload.length);
  const framed = Buffer.allocUnsafe(payload.length + parts * HEADER_BYTES);
  let offset = 0;
  for (let part = 0; part < parts; part++) {
    const start = part * PAYLOAD_BYTES_MAX;
    const end = Math.min(start + PAYLOAD_BYTES_MAX, payload.length);
    framed.writeUIntLE(end - start, offset, 3);
    framed[offset + 3] = (sequenceId + part) & 0xff;
    framed.set(payload.subarray(start, end), offset + HEADER_BYTES);
    offset += HEADER_BYTES + end - start;
  }
  return framed;
}

const NOTHING = Buffer.alloc(0);

/** A buffer of bytes that were pushed and not yet taken. */
export class GrowingBuffer {
  readonly #usefulBytes: number;
  #memory = NOTHING;
  #from = 0;
  #to = 0;

  /** `usefulBytes`: the buffer isn't enlarged beyond this on a guess. */
  constructor({ usefulBytes = Number.MAX_SAFE_INTEGER } = {}) {
    this.#usefulBytes = usefulBytes;
  }

  get length(): number {
    return this.#to - this.#from;
  }

  /** A view on all of them, valid until the next `push`. */
  get bytes(): Buffer {
    return this.#memory.subarray(this.#from, this.#to);
  }

  /** Copies the chunk, because a chunk of the relay is valid during the call only. */
  push(chunk: Buffer): void {
    if (chunk.length === 0) return;
    const { length } = this;
    const needed = length + chunk.length;
    if (this.#memory.length - this.#to < chunk.length) {
      // Most chunks contain whole packets.
      const guess = length === 0 ? needed : Math.min(2 * needed, this.#usefulBytes);
      const memory = Buffer.allocUnsafe(Math.max(needed, guess));
      this.#memory.copy(memory, 0, this.#from, this.#to);
      this.#memory = memory;
      this.#from = 0;
      this.#to = length;
    }
    chunk.copy(this.#memory, this.#to);
    this.#to += chunk.length;
  }

  /** Takes the first `count` bytes out, or all of them; they are the caller's. */
  take(count = this.length): Buffer {
    const bytes = this.#memory.subarray(this.#from, this.#from + count);
    this.#from += bytes.length;
    if (this.#from === this.#to) {
      this.#memory = NOTHING;
      this.#from = 0;
      this.#to = 0;
    }
    return bytes;
  }
}

/**
 * Assembles logical packets from chunks, for the parts of a conversation that undrop reads itself:
 * the connection phase, and the responses to its own statements. Relayed bytes never come here.
 */
export class PacketAssembler extends GrowingBuffer {
  readonly #payloadBytesMax: number;

  /** `payloadBytesMax`: a longer packet causes UNDROP_PACKET_TOO_LARGE before it is buffered. */
  constructor(payloadBytesMax: number) {
    super({ usefulBytes: HEADER_BYTES + payloadBytesMax });
    this.#payloadBytesMax = payloadBytesMax;
  }

  /** The next whole packet; null if it hasn't arrived yet. */
  next(): Packet | null {
    const { bytes } = this;
    let size = 0;
    let payloadBytes = 0;
    let length = PAYLOAD_BYTES_MAX;
    while (length === PAYLOAD_BYTES_MAX) {
      if (bytes.length < size + HEADER_BYTES) return null;
      length = bytes.readUIntLE(size, 3);
      payloadBytes += length;
      if (payloadBytes > this.#payloadBytesMax) {
        const params = { bytes: payloadBytes, bytesMax: this.#payloadBytesMax };
        throw new UndropError('UNDROP_PACKET_TOO_LARGE', params);
      }
      size += HEADER_BYTES + length;
      if (bytes.length < size) return null;
    }
    const taken = this.take(size);
    const sequenceId = taken[size - length - 1] ?? 0;
    const isOne = payloadBytes === length;
    return { payload: isOne ? taken.subarray(HEADER_BYTES) : joined(taken), sequenceId };
  }
}

/** The payload of a packet in several parts, without their headers. */
function joined(bytes: Buffer): Buffer {
  const payloads: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += HEADER_BYTES + PAYLOAD_BYTES_MAX) {
    payloads.push(bytes.subarray(at + HEADER_BYTES, at + HEADER_BYTES + PAYLOAD_BYTES_MAX));
  }
  return Buffer.concat(payloads);
}
