/**
 * What the client sends of a file (LOAD DATA LOCAL INFILE) that a piece of its text asked for: the
 * client's sequence ids go on over all pieces, the server's begin anew with each.
 *
 * Invariant: it ends with the empty packet that ends the file; nothing behind that is touched.
 */
import { HEADER_BYTES, PAYLOAD_BYTES_MAX } from '../wire/framing.js';

export class FileRelay {
  readonly #shift: number;
  readonly #toServer: (bytes: Buffer) => void;
  #left = 0;
  #isPart = false;
  #headerBytes = 0;
  #length = 0;
  #isDone = false;

  /** `shift`: by how much the client's sequence ids are ahead. */
  constructor(shift: number, toServer: (bytes: Buffer) => void) {
    this.#shift = shift;
    this.#toServer = toServer;
  }

  /** Sends the client's next bytes on, changed where they are; what is behind the file, or null. */
  feed(chunk: Buffer): Buffer | null {
    let at = 0;
    while (at < chunk.length && !this.#isDone) {
      if (this.#left > 0) {
        const count = Math.min(this.#left, chunk.length - at);
        this.#left -= count;
        at += count;
      } else {
        this.#takeHeaderByte(chunk, at);
        at++;
      }
    }
    this.#toServer(chunk.subarray(0, at));
    return this.#isDone ? Buffer.from(chunk.subarray(at)) : null;
  }

  #takeHeaderByte(chunk: Buffer, at: number): void {
    const byte = chunk[at] ?? 0;
    if (this.#headerBytes < HEADER_BYTES - 1) {
      this.#length |= byte << (8 * this.#headerBytes);
      this.#headerBytes++;
      return;
    }
    chunk[at] = (byte - this.#shift) & 0xff;
    this.#left = this.#length;
    this.#isDone = this.#length === 0 && !this.#isPart;
    this.#isPart = this.#length === PAYLOAD_BYTES_MAX;
    this.#headerBytes = 0;
    this.#length = 0;
  }
}
