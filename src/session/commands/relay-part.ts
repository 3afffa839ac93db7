/**
 * Relays the response to one part of a text as a part of the response to the whole text: the
 * sequence ids continue from the previous part, and unless it is the last part, every OK and EOF
 * gets the flag for more results. All else goes to the client unchanged, as it comes.
 *
 * Invariant: no more is kept of a response than the head of a packet.
 */
import { ResponseTracker } from '../../relay/response-tracker.js';
import * as caps from '../../wire/capabilities.js';
import * as com from '../../wire/commands.js';
import { HEADER_BYTES, PAYLOAD_BYTES_MAX } from '../../wire/framing.js';
import { lenencBytes, MalformedPacketError } from '../../wire/packet-reader.js';

/** header + two lenenc integers + status of an OK packet. */
const OK_HEAD_BYTES = 21;
/** header + number of an ERR packet. */
const ERRNO_BYTES = 3;

export interface StatementRelayOptions {
  readonly capabilities: caps.Capabilities;
  /** Sequence id of the first packet of the response. */
  readonly sequenceId: number;
  /**
   * The number of packets in which the part was sent: the server's sequence ids continue from
   * there.
   */
  readonly sentPackets: number;
  readonly isLast: boolean;
  readonly connections: { toClient(bytes: Buffer): void };
  readonly onDone: (end: PartEnd) => void;
}

export interface PartEnd {
  /** It ended with an ERR. */
  readonly hasFailed: boolean;
  /** Sequence id after the response. */
  readonly sequenceId: number;
  /** Bytes after the response. */
  readonly rest: Buffer;
}

export class StatementRelay {
  readonly #options: StatementRelayOptions;
  readonly #tracker: ResponseTracker;
  readonly #deprecateEof: boolean;
  #withheld: Buffer = Buffer.alloc(0);
  /** Payload bytes of the current packet that are still to come. */
  #left = 0;
  /** The next packet continues this one. */
  #isPart = false;
  #sequenceId: number;
  #hasFailed = false;

  constructor(options: StatementRelayOptions) {
    this.#options = options;
    this.#sequenceId = options.sequenceId;
    this.#deprecateEof = caps.hasFlag(options.capabilities, caps.CLIENT_DEPRECATE_EOF);
    this.#tracker = new ResponseTracker(options.capabilities);
    this.#tracker.expect(com.COM_QUERY);
  }

  /** The server's next bytes. Changes them in place. */
  feed(chunk: Buffer): void {
    const bytes = this.#withheld.length === 0 ? chunk : Buffer.concat([this.#withheld, chunk]);
    this.#withheld = Buffer.alloc(0);
    let at = 0;
    while (at < bytes.length && !this.#tracker.idle) {
      if (this.#left > 0) {
        const count = Math.min(this.#left, bytes.length - at);
        this.#tracker.feed(bytes, at, at + count);
        this.#left -= count;
        at += count;
        continue;
      }
      const wanted = this.#wanted(bytes, at);
      if (wanted > bytes.length - at) {
        this.#withheld = Buffer.from(bytes.subarray(at));
        break;
      }
      this.#take(bytes, at, at + wanted);
      at += wanted;
    }
    const isDone = this.#tracker.idle;
    this.#options.connections.toClient(bytes.subarray(0, at));
    if (!isDone) return;
    const sequenceId = (this.#sequenceId + 1) & 0xff;
    const rest = Buffer.from(bytes.subarray(at));
    this.#options.onDone({ hasFailed: this.#hasFailed, sequenceId, rest });
  }

  /** How many bytes of the packet at `at` must be there before any of it goes on. */
  #wanted(bytes: Buffer, at: number): number {
    const there = bytes.length - at;
    if (there < HEADER_BYTES) return HEADER_BYTES;
    const length = bytes.readUIntLE(at, 3);
    if (this.#isPart || length === 0) return HEADER_BYTES;
    if (there === HEADER_BYTES) return HEADER_BYTES + 1;
    const first = bytes[at + HEADER_BYTES] ?? 0;
    if (this.#hasStatus(first, length)) return HEADER_BYTES + Math.min(length, OK_HEAD_BYTES);
    // MariaDB's progress reports look like errors, and end nothing.
    return HEADER_BYTES + (first === 0xff ? Math.min(length, ERRNO_BYTES) : 1);
  }

  /** Whether it is an OK or an EOF. */
  #hasStatus(first: number, length: number): boolean {
    switch (this.#tracker.place) {
      case 'start':
        return first === 0x00;
      case 'columns':
        return false;
      case 'metadata-eof':
        return first === 0xfe;
      case 'rows':
        return first === 0xfe && length < PAYLOAD_BYTES_MAX && (this.#deprecateEof || length <= 5);
    }
  }

  /** `end`: the end of the wanted bytes. */
  #take(bytes: Buffer, at: number, end: number): void {
    const { place } = this.#tracker;
    const { isLast } = this.#options;
    const length = bytes.readUIntLE(at, 3);
    const head = bytes.subarray(at + HEADER_BYTES, end);
    const first = this.#isPart || length === 0 ? -1 : (head[0] ?? -1);
    const hasStatus = first >= 0 && this.#hasStatus(first, length);
    this.#tracker.feed(bytes, at, end);
    this.#left = length - head.length;
    this.#isPart = length === PAYLOAD_BYTES_MAX;
    // The server starts counting with each part, the client continues.
    const { sequenceId, sentPackets } = this.#options;
    this.#sequenceId = ((bytes[at + 3] ?? 0) + sequenceId - sentPackets) & 0xff;
    bytes[at + 3] = this.#sequenceId;
    if (hasStatus && !isLast) {
      sayMore(head, length);
    } else if (first === 0xff) {
      this.#hasFailed = head[1] !== 0xff || head[2] !== 0xff;
    } else if (first === 0xfb && place === 'start') {
      throw new MalformedPacketError(
        'LOCAL INFILE requested between the results of other statements',
      );
    }
  }
}

/** Sets SERVER_MORE_RESULTS_EXISTS in the head of an OK, or of an EOF. */
function sayMore(head: Buffer, length: number): void {
  let at = 3;
  if (head[0] !== 0xfe || length > 5) {
    at = 1 + lenencBytes(head[1] ?? 0);
    at += lenencBytes(head[at] ?? 0);
  }
  const status = head[at];
  if (status !== undefined) head[at] = status | caps.SERVER_MORE_RESULTS_EXISTS;
}
