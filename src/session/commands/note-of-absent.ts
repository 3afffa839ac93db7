/**
 * The note 1008 of a DROP DATABASE IF EXISTS of no schema, where the session could be made to say
 * it as a warning only (check-rights.ts): in what SHOW WARNINGS answers next it is a note again.
 *
 * Invariant: nothing else is changed; a session that has no such warning is not looked at.
 */
import { HEADER_BYTES } from '../../wire/framing.js';

/** A row of SHOW WARNINGS, from its first value on: each with its length before it. */
const SAID = Buffer.from('\x07Warning\x041008');
const MEANT = Buffer.from('\x04Note\x041008');
/** Who asks for warnings asks at once. */
const CHUNKS_MAX = 16;

export class NoteOfAbsent {
  #chunksLeft = 0;

  /** The session has been made to say it as a warning. */
  expect(): void {
    this.#chunksLeft = CHUNKS_MAX;
  }

  /** What goes to the client; a row that is split between two chunks stays as it is. */
  reworded(chunk: Buffer): Buffer {
    if (this.#chunksLeft === 0) return chunk;
    this.#chunksLeft--;
    const at = chunk.indexOf(SAID);
    const start = at - HEADER_BYTES;
    if (start < 0 || !isRow(chunk, start, at + SAID.length)) return chunk;
    const head = Buffer.from(chunk.subarray(0, at));
    head.writeUIntLE(head.readUIntLE(start, 3) - SAID.length + MEANT.length, start, 3);
    return Buffer.concat([head, MEANT, chunk.subarray(at + SAID.length)]);
  }
}

/** Whether the packet at `start` is a row that ends with the one value at `last`: its message. */
function isRow(chunk: Buffer, start: number, last: number): boolean {
  const length = chunk[last];
  if (length === undefined) return false;
  return chunk.readUIntLE(start, 3) === last + 1 + length - (start + HEADER_BYTES);
}
