/**
 * One direction of one session: each chunk that the source reads is handed to its owner, and what
 * the owner gives back is written to the sink, with back-pressure: while the sink is full, the
 * source is not read. The hot path, nothing else.
 *
 * Invariant: no bytes are kept here.
 */
import type { ByteStream } from './byte-stream.js';

export class Pump {
  readonly #source: ByteStream;
  readonly #sink: ByteStream;
  #held = false;
  #sinkFull = false;
  #onEmpty: (() => void) | null = null;

  constructor(source: ByteStream, sink: ByteStream) {
    this.#source = source;
    this.#sink = sink;
    sink.onDrain = () => {
      this.#sinkFull = false;
      this.#onEmpty?.();
      this.#onEmpty = null;
      if (!this.#held) this.#source.resume();
    };
  }

  /** `onChunk` gets each chunk as it was read, valid during the call. */
  start(onChunk: (chunk: Buffer) => void): void {
    this.#source.start(onChunk);
  }

  write(bytes: Buffer): void {
    if (bytes.length === 0 || this.#sink.write(bytes)) return;
    this.#sinkFull = true;
    this.#source.pause();
  }

  /** Calls back, at once or later, when the sink has taken all that was written. One at a time. */
  whenEmpty(run: () => void): void {
    if (this.#sinkFull) this.#onEmpty = run;
    else run();
  }

  /** Stops reading the source until `release`. */
  hold(): void {
    this.#held = true;
    this.#source.pause();
  }

  /** Reads on as soon as the sink has room: what it still has to send is the source's memory. */
  release(): void {
    this.#held = false;
    if (!this.#sinkFull) this.#source.resume();
  }
}
