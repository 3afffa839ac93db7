/**
 * The memory of this process for long texts: each text above HELD_BYTES_MAX that must be seen whole
 * takes memory as it arrives, and releases it when it is answered, or has gone to the server. A
 * text that there is no memory for waits: nothing more of it is read.
 *
 * Invariant: the texts take at most `bytesMax`, half of it for one account, three quarters for one
 * address, and beside that as much again for texts that have waited longest: these complete in any
 * case, so texts that have arrived in part don't wait for each other. A text waits for a bounded
 * time; one that arrives too slowly for those that wait loses its place.
 */
import { UndropError } from '../../errors.js';

/** The longest text that is held; also the default max_allowed_packet of MySQL 8. */
export const TEXT_BYTES_MAX = 64 * 1024 * 1024;
/** A text, and its copy for the server. */
const COPIES = 2;
/** Enough for the longest text. */
const ROOM_BYTES = COPIES * TEXT_BYTES_MAX;
const ACCOUNT_SHARE = 1 / 2;
const ADDRESS_SHARE = 3 / 4;
const WAIT_MS_MAX = 60_000;
/** 64 MiB in this time need 2 Mbit/s. */
const ARRIVAL_MS_MAX = 300_000;
/** While others wait, a text must grow by this much in this time: 170 kbit/s. */
const GROWTH_BYTES_MIN = 64 * 1024;
const GROWTH_MS = 3_000;

export interface TextOwner {
  readonly account: string;
  /** Without the port. */
  readonly address: string;
  /** The text had to wait; now there is memory for what has arrived. */
  readonly onRoom: () => void;
  /** It lost its place; the session has to end. */
  readonly onLost: (error: UndropError) => void;
}

/** The memory of one text. */
export interface RoomInUse {
  /** `bytes` of it have arrived. False: read no more of it until `onRoom`. */
  grow(bytes: number): boolean;
  /** The text has arrived completely. */
  arrived(): void;
  /** May be called twice. */
  leave(): void;
}

interface Place {
  readonly owner: TextOwner;
  /** For the whole text and its copy. */
  readonly bytesMax: number;
  bytes: number;
  wantedBytes: number;
  /** When it began to wait; null: it doesn't. */
  waitsSinceMs: number | null;
  /** It has waited longest, and completes in any case. */
  isFirst: boolean;
  isArriving: boolean;
  readonly beganMs: number;
  /** `bytes` when its growth was looked at last. */
  seenBytes: number;
  seenMs: number;
}

export class TextRoom {
  readonly #bytesMax: number;
  readonly #nowMs: () => number;
  readonly #places = new Set<Place>();
  #timer: NodeJS.Timeout | null = null;

  /** `nowMs`: milliseconds of a monotonic clock. */
  constructor({ bytesMax = ROOM_BYTES, nowMs = () => performance.now() } = {}) {
    this.#bytesMax = bytesMax;
    this.#nowMs = nowMs;
  }

  /** A text of at most `textBytes` begins. */
  enter(textBytes: number, owner: TextOwner): RoomInUse {
    const now = this.#nowMs();
    const place: Place = {
      owner,
      bytesMax: COPIES * textBytes,
      bytes: 0,
      wantedBytes: 0,
      waitsSinceMs: null,
      isFirst: false,
      isArriving: true,
      beganMs: now,
      seenBytes: 0,
      seenMs: now,
    };
    this.#places.add(place);
    this.#timer ??= setInterval(() => this.look(), GROWTH_MS / 3).unref();
    return {
      grow: (bytes) => this.#grow(place, COPIES * bytes),
      arrived: () => this.#end(place),
      leave: () => {
        if (this.#places.delete(place)) this.#goOn();
      },
    };
  }

  /** Its last bytes are there, so it has what they take. */
  #end(place: Place): void {
    place.isArriving = false;
    place.bytes = place.wantedBytes;
    if (place.waitsSinceMs === null) return;
    place.waitsSinceMs = null;
    place.owner.onRoom();
  }

  /** Ends what takes too long; called every second. */
  look(): void {
    const now = this.#nowMs();
    const waiting = this.#waiting();
    const lost = [...this.#places].filter((place) => this.#isLost(place, waiting, now));
    for (const place of lost) {
      this.#places.delete(place);
      const isWaiting = place.waitsSinceMs !== null;
      const why = isWaiting ? 'there was no memory for it' : 'it did not arrive';
      place.owner.onLost(new UndropError('UNDROP_LONG_TEXT', { why }));
    }
    this.#goOn();
    if (this.#places.size > 0 || this.#timer === null) return;
    clearInterval(this.#timer);
    this.#timer = null;
  }

  #isLost(place: Place, waiting: readonly Place[], now: number): boolean {
    const { isArriving, waitsSinceMs, beganMs, seenMs } = place;
    if (!isArriving) return false;
    if (waitsSinceMs !== null) {
      // Its growth is measured from the end of the wait.
      [place.seenBytes, place.seenMs] = [place.bytes, now];
      return now - waitsSinceMs >= WAIT_MS_MAX;
    }
    if (now - beganMs >= ARRIVAL_MS_MAX) return true;
    if (now - seenMs < GROWTH_MS) return false;
    const isSlow = place.bytes - place.seenBytes < COPIES * GROWTH_BYTES_MIN;
    [place.seenBytes, place.seenMs] = [place.bytes, now];
    return isSlow && waiting.some((other) => this.#isWaitingFor(other, place));
  }

  /** The memory of `place` is what the other one lacks. */
  #isWaitingFor({ owner, wantedBytes, bytes }: Place, place: Place): boolean {
    const { account, address } = place.owner;
    if (place.isFirst || account === owner.account || address === owner.address) return true;
    return wantedBytes - bytes > this.#bytesMax - this.#taken(() => true);
  }

  #grow(place: Place, bytes: number): boolean {
    place.wantedBytes = bytes;
    if (place.waitsSinceMs !== null) return false;
    if (this.#take(place)) return true;
    place.waitsSinceMs = this.#nowMs();
    // With what is held until then; the first of those that wait goes on.
    this.#choose();
    return place.waitsSinceMs === null;
  }

  /** Takes what it wants, if that is there. */
  #take(place: Place): boolean {
    const { owner, wantedBytes, bytes, isFirst } = place;
    const more = wantedBytes - bytes;
    const fits = (share: number, isCounted: (one: TextOwner) => boolean) =>
      this.#taken(isCounted) + more <= share * this.#bytesMax;
    const isFree =
      fits(1, () => true) &&
      fits(ACCOUNT_SHARE, ({ account }) => account === owner.account) &&
      fits(ADDRESS_SHARE, ({ address }) => address === owner.address);
    if (!isFree && !isFirst) return false;
    place.bytes = wantedBytes;
    return true;
  }

  /** Without the firsts, which have room of their own. */
  #taken(isCounted: (owner: TextOwner) => boolean): number {
    let bytes = 0;
    for (const place of this.#places) {
      if (!place.isFirst && isCounted(place.owner)) bytes += place.bytes;
    }
    return bytes;
  }

  /** In the order of what is left to arrive, so that small texts pass big ones. */
  #waiting(): readonly Place[] {
    const left = ({ bytesMax, bytes }: Place) => bytesMax - bytes;
    return [...this.#places]
      .filter(({ waitsSinceMs }) => waitsSinceMs !== null)
      .sort((a, b) => left(a) - left(b));
  }

  /** Memory was released. */
  #goOn(): void {
    for (const place of this.#waiting()) this.#letOn(place);
    this.#choose();
  }

  #letOn(place: Place): void {
    if (!this.#take(place)) return;
    place.waitsSinceMs = null;
    [place.seenBytes, place.seenMs] = [place.bytes, this.#nowMs()];
    place.owner.onRoom();
  }

  /** Lets those that have waited longest complete, as far as there is room beside the bounds. */
  #choose(): void {
    const firsts = [...this.#places].filter(({ isFirst }) => isFirst);
    let bytes = firsts.reduce((sum, { bytesMax }) => sum + bytesMax, 0);
    const since = ({ waitsSinceMs }: Place) => waitsSinceMs ?? 0;
    for (const place of this.#waiting().toSorted((a, b) => since(a) - since(b))) {
      if (bytes + place.bytesMax > this.#bytesMax) continue;
      bytes += place.bytesMax;
      place.isFirst = true;
      this.#letOn(place);
    }
  }
}

/** The memory of this process. */
export const textRoom = new TextRoom();
