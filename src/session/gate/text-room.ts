/**
 * The memory of this process for long texts: each text above HELD_BYTES_MAX that must be seen whole
 * reserves memory before the rest of it is read, and releases it when it is answered, or has gone
 * to the server.
 *
 * Invariant: all such texts together take at most `bytesMax`. Texts wait in order and for a bounded
 * time, and the memory of a text that doesn't arrive is released.
 */
import { UndropError } from '../../errors.js';

/** The longest text that is held; also the default max_allowed_packet of MySQL 8. */
export const TEXT_BYTES_MAX = 64 * 1024 * 1024;
/** A text, and its copy for the server. */
const COPIES = 2;
const ROOM_BYTES = 2 * COPIES * TEXT_BYTES_MAX;
const WAIT_MS_MAX = 60_000;
/** 64 MiB in this time need 2 Mbit/s. */
const ARRIVAL_MS_MAX = 300_000;

/** Reserved memory. */
export interface RoomInUse {
  /** The text has arrived completely. */
  arrived(): void;
  /** May be called twice. */
  leave(): void;
}

interface Waiting {
  readonly bytes: number;
  readonly enter: () => void;
}

export class TextRoom {
  #freeBytes: number;
  readonly #waitMsMax: number;
  readonly #waiting: Waiting[] = [];

  constructor({ bytesMax = ROOM_BYTES, waitMsMax = WAIT_MS_MAX } = {}) {
    this.#freeBytes = bytesMax;
    this.#waitMsMax = waitMsMax;
  }

  /**
   * Waits for memory for a text of `textBytes`. Rejects after a minute, or when the session is
   * over, which releases reserved memory, too. `onOverdue` is called if the text isn't complete in
   * time.
   */
  async take(
    textBytes: number,
    over: AbortSignal,
    onOverdue: (error: UndropError) => void,
  ): Promise<RoomInUse> {
    const bytes = COPIES * textBytes;
    if (this.#waiting.length === 0 && bytes <= this.#freeBytes) this.#freeBytes -= bytes;
    else await this.#wait(bytes, over);
    const timer = setTimeout(() => onOverdue(tooLate('it did not arrive')), ARRIVAL_MS_MAX);
    let isThere = true;
    const leave = () => {
      clearTimeout(timer);
      over.removeEventListener('abort', leave);
      if (!isThere) return;
      isThere = false;
      this.#freeBytes += bytes;
      this.#callNext();
    };
    if (over.aborted) leave();
    else over.addEventListener('abort', leave);
    return { arrived: () => clearTimeout(timer), leave };
  }

  #wait(bytes: number, over: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const giveUp = () => {
        done();
        this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
        this.#callNext();
        reject(tooLate('there was no memory for it'));
      };
      const timer = setTimeout(giveUp, this.#waitMsMax);
      const done = () => {
        clearTimeout(timer);
        over.removeEventListener('abort', giveUp);
      };
      const enter = () => {
        done();
        resolve();
      };
      const waiting: Waiting = { bytes, enter };
      this.#waiting.push(waiting);
      over.addEventListener('abort', giveUp);
    });
  }

  #callNext(): void {
    for (;;) {
      const [next] = this.#waiting;
      if (next === undefined || next.bytes > this.#freeBytes) return;
      this.#waiting.shift();
      this.#freeBytes -= next.bytes;
      next.enter();
    }
  }
}

/** The memory of this process. */
export const textRoom = new TextRoom();

function tooLate(why: string): UndropError {
  return new UndropError('UNDROP_LONG_TEXT', { why });
}
