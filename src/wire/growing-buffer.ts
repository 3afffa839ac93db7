/**
 * Bytes that come in chunks of any size and wait to be whole. One piece of memory that grows: a
 * peer that sends byte by byte would cost a Buffer for each, a hundred times what it sends.
 *
 * Invariant: holds at most about twice its bytes; what was taken is never written to again.
 */
export class GrowingBuffer {
  readonly #usefulBytes: number;
  #memory = NOTHING;
  #from = 0;
  #to = 0;

  /** `usefulBytes`: more than is ever waited for, so that it doesn't grow beyond on a guess. */
  constructor({ usefulBytes = Number.MAX_SAFE_INTEGER } = {}) {
    this.#usefulBytes = usefulBytes;
  }

  get length(): number {
    return this.#to - this.#from;
  }

  /** A view on all of them, valid until the next `append`. */
  get bytes(): Buffer {
    return this.#memory.subarray(this.#from, this.#to);
  }

  /** Copies the chunk. */
  append(chunk: Buffer): void {
    if (chunk.length === 0) return;
    const { length } = this;
    const needed = length + chunk.length;
    if (this.#memory.length - this.#to < chunk.length) {
      // What comes in one chunk mostly is whole.
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

  /** Takes the first `count` bytes out; they are the caller's. */
  take(count: number): Buffer {
    const bytes = this.#memory.subarray(this.#from, this.#from + count);
    this.#from += bytes.length;
    if (this.#from === this.#to) this.#forget();
    return bytes;
  }

  takeAll(): Buffer {
    return this.take(this.length);
  }

  #forget(): void {
    this.#memory = NOTHING;
    this.#from = 0;
    this.#to = 0;
  }
}

const NOTHING = Buffer.alloc(0);
