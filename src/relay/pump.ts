/**
 * One direction of one session: reads chunks from a source, hands each to its owner, and writes
 * what the owner gives back to a sink, with back-pressure: while the sink is full, the source is
 * not read. The hot path, nothing else.
 *
 * Invariant: no bytes are kept here; what the sink has not taken is in its own bounded buffer.
 */
import type { Socket } from 'node:net';

export class Pump {
  readonly #source: Socket;
  readonly #sink: Socket;
  #held = false;
  #sinkFull = false;

  /** `onChunk` gets each chunk as it was read; it writes by `write`, or keeps what is its own. */
  constructor(source: Socket, sink: Socket, onChunk: (chunk: Buffer) => void) {
    this.#source = source;
    this.#sink = sink;
    source.on('data', onChunk);
    sink.on('drain', () => {
      this.#sinkFull = false;
      if (!this.#held) this.#source.resume();
    });
  }

  write(bytes: Buffer): void {
    if (bytes.length === 0 || !this.#sink.writable) return;
    if (this.#sink.write(bytes)) return;
    this.#sinkFull = true;
    this.#source.pause();
  }

  /** Stops reading the source until `release`. */
  hold(): void {
    this.#held = true;
    this.#source.pause();
  }

  release(): void {
    this.#held = false;
    if (!this.#sinkFull) this.#source.resume();
  }
}
