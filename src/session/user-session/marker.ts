/**
 * The marker is a statement that can't be parsed, sent after whatever is under way on the user
 * session. The ERR that carries its nonce starts exactly where the last foreign response ends, so
 * the place of an answer of ours never depends on the response tracker being right. It executes
 * nothing, commits nothing and keeps GTID_NEXT; tried in every session state on all four servers.
 *
 * Invariant: every byte before the marker's answer goes to the client; none of the marker's does.
 */
import { randomBytes } from 'node:crypto';
import type { ResponseTracker } from '../../relay/response-tracker.js';
import { HEADER_BYTES } from '../../wire/framing.js';
import { MalformedPacketError } from '../../wire/packet-reader.js';
import { ER_QUERY_INTERRUPTED, ER_STATEMENT_TIMEOUT } from '../../wire/server-errors.js';

/** Payload bytes of an ERR that may be the marker's; the server bounds its texts at 512 bytes. */
const ERR_BYTES_MAX = 4096;

/** What the marker's answer is known by: `undrop_` and 24 hex digits, never used twice. */
export function newMarkerNonce(): string {
  return `undrop_${randomBytes(12).toString('hex')}`;
}

/**
 * The statement whose error quotes the nonce. Nothing starts with a parenthesis that closes, in no
 * sql_mode; the bare word is a call in MariaDB's ORACLE mode, and its error doesn't quote it.
 */
export function markerText(nonce: string): string {
  return `)${nonce}`;
}

export class MarkerSeeker {
  readonly #nonce: Buffer;
  readonly #tracker: ResponseTracker;
  /** Bytes from a packet's edge on that can't be told yet. */
  #withheld: Buffer = Buffer.alloc(0);

  /** `tracker`: has followed the stream up to here, so it knows where a packet starts. */
  constructor(nonce: string, tracker: ResponseTracker) {
    this.#nonce = Buffer.from(nonce, 'latin1');
    this.#tracker = tracker;
  }

  /**
   * Takes the server's next bytes. `foreign` go to the client; `own` are those after the marker's
   * answer, null while it hasn't come.
   */
  feed(chunk: Buffer): { readonly foreign: Buffer; readonly own: Buffer | null } {
    const bytes = this.#withheld.length === 0 ? chunk : Buffer.concat([this.#withheld, chunk]);
    this.#withheld = Buffer.alloc(0);
    let at = 0;
    while (at < bytes.length) {
      const size = this.#foreignBytes(bytes, at);
      if (size > 0) {
        this.#tracker.feed(bytes, at, at + size);
        at += size;
        continue;
      }
      const end =
        at + HEADER_BYTES + (bytes.length - at < HEADER_BYTES ? 0 : bytes.readUIntLE(at, 3));
      if (bytes.length - at <= HEADER_BYTES || end > bytes.length) {
        this.#withheld = Buffer.from(bytes.subarray(at));
        return { foreign: bytes.subarray(0, at), own: null };
      }
      const payload = bytes.subarray(at + HEADER_BYTES, end);
      if (this.#isMarker(payload))
        return { foreign: bytes.subarray(0, at), own: bytes.subarray(end) };
      this.#tracker.feed(bytes, at, end);
      at = end;
    }
    return { foreign: bytes, own: null };
  }

  /** Bytes from `at` that are surely foreign; 0 where it has to be seen whole first. */
  #foreignBytes(bytes: Buffer, at: number): number {
    if (!this.#tracker.atPacketEdge) return this.#tracker.bytesToPacketEnd(bytes.length - at);
    const left = bytes.length - at;
    if (left < HEADER_BYTES) return 0;
    const length = bytes.readUIntLE(at, 3);
    if (length === 0) return HEADER_BYTES;
    if (left === HEADER_BYTES) return 0;
    const mayBeMarker = bytes[at + HEADER_BYTES] === 0xff && length <= ERR_BYTES_MAX;
    return mayBeMarker ? 0 : Math.min(HEADER_BYTES + length, left);
  }

  /**
   * Under character_set_results=utf16 and the like an error text ends at its first NUL, which is
   * its first or second byte; and on MariaDB the marker may be what a KILL QUERY hits. Then, and
   * only then, the tracker has to know that none is owed. Throws where it doesn't follow any more:
   * waiting for another would be for ever.
   */
  #isMarker(payload: Buffer): boolean {
    if (holds(payload, this.#nonce)) return true;
    if (isWordless(payload) && this.#tracker.untracked) {
      throw new MalformedPacketError(
        'whose answer a syntax error without words is can not be told',
      );
    }
    return (isWordless(payload) || isInterrupted(payload)) && this.#tracker.idle;
  }
}

/** The nonce comes in character_set_results, which may have put NULs between the letters. */
function holds(payload: Buffer, nonce: Buffer): boolean {
  const letters = Buffer.from(payload.filter((byte) => byte !== 0));
  return payload.includes(nonce) || letters.includes(nonce);
}

/** A syntax error whose text is cut off before its second letter. */
function isWordless(payload: Buffer): boolean {
  return (
    payload.length <= WORDLESS.length + 1 && payload.subarray(0, WORDLESS.length).equals(WORDLESS)
  );
}

/** By KILL QUERY or max_statement_time. */
function isInterrupted(payload: Buffer): boolean {
  if (payload.length < 3) return false;
  const errno = payload.readUInt16LE(1);
  return errno === ER_QUERY_INTERRUPTED || errno === ER_STATEMENT_TIMEOUT;
}

const WORDLESS = Buffer.from('\xff\x28\x04#42000', 'latin1');
