/**
 * The filter in the client's stream of the command phase: packets that can't be undrop's pass as
 * the bytes that came, in their chunk; a packet that may be undrop's is shown whole to the session,
 * which passes or takes it.
 *
 * Invariant: no byte of a packet that may be undrop's passes before the session has seen all of it;
 * a text above HELD_BYTES_MAX is held as well, as far as there is memory for it (text-room.ts),
 * unless its first words show that it isn't undrop's.
 * A packet with a sequence id other than 0 is never a command (the data of LOCAL INFILE, replies of
 * an authentication); the server enforces that with error 1156. A packet with id 0 isn't a command
 * if an upload has counted to 255 and still runs. After a pause the server may have ended that
 * upload at this very moment; then data that begins like a command that can drop ends the session.
 */
import { UndropError } from '../../errors.js';
import type { Protected } from '../../sql/destroying.js';
import { mayBeOurs } from '../../sql/trigger-scan.js';
import * as com from '../../wire/commands.js';
import {
  encodePacket,
  GrowingBuffer,
  HEADER_BYTES,
  PAYLOAD_BYTES_MAX,
  type Packet,
  PacketAssembler,
  packetCount,
} from '../../wire/framing.js';
import { MalformedPacketError } from '../../wire/packet-reader.js';
import type { PreparedDrops } from '../commands/prepared-drops.js';
import { TEXT_BYTES_MAX } from './text-room.js';

/** A statement up to this size is held until it is whole; a longer one takes memory of a room. */
export const HELD_BYTES_MAX = 256 * 1024;

/** The beginning of a longer text that may show that it isn't undrop's. */
const LONG_HEAD_BYTES = 1_024;

/**
 * Most commands have at most this many payload bytes; longer ones come in several chunks anyway.
 */
const COMMON_BYTES_MAX = 0xffff;

export interface GateOwner {
  /** The sink of the bytes. */
  readonly connections: { toServer(bytes: Buffer): void };
  /** A command was sent to the server, which will respond. */
  onCommand(command: number): void;
  /** True: the packet passes. False: it was intercepted, and the gate stops after it. */
  letThrough(packet: Packet): boolean;
  /**
   * A text is longer than HELD_BYTES_MAX; `head` is the beginning of its first part, framed. True:
   * it passes unread. False: it is held.
   */
  letLongPass(head: Buffer): boolean;
  /** That many bytes of the long text that is held have arrived, and there may be more. */
  onLongGrown(bytes: number): void;
}

export interface GateOptions {
  /** Prepared drops: commands on them, and texts that may name them, are shown whole. */
  readonly handles: Pick<PreparedDrops, 'isWatching' | 'watchesNames' | 'takes'>;
  /** May change while the session lives. */
  readonly protect: Protected;
  /** True: every command has its whole response, so no upload is running. */
  readonly isAllAnswered: () => boolean;
  /** Milliseconds of a monotonic clock; default: the process's. */
  readonly nowMs?: () => number;
  /** A longer text is a long one; below 16 MiB. */
  readonly heldBytesMax?: number;
}

export class CommandGate {
  readonly #owner: GateOwner;
  readonly #handles: GateOptions['handles'];
  readonly #protect: Protected;
  readonly #options: GateOptions;
  readonly #nowMs: () => number;
  /** Bytes of the current packet that pass unread. */
  #passing = 0;
  #isPartOfCommand = false;
  #isPart = false;
  /** Sequence id of the last packet if that was data of an upload; else 0. */
  #lastDataId = 0;
  /** The time at which an upload's sequence id reached 255. */
  #wrappedAtMs = 0;
  /** The start of a packet that must be complete first, and the number of bytes needed. */
  readonly #held = new GrowingBuffer();
  #wantedBytes = 0;
  readonly #heldBytesMax: number;
  /** A long text that isn't complete yet. */
  #long: PacketAssembler | null = null;

  constructor(owner: GateOwner, options: GateOptions) {
    this.#owner = owner;
    this.#handles = options.handles;
    this.#protect = options.protect;
    this.#options = options;
    this.#nowMs = options.nowMs ?? (() => performance.now());
    this.#heldBytesMax = options.heldBytesMax ?? HELD_BYTES_MAX;
  }

  /** The bytes of a long text that is held and isn't complete yet; 0: there is none. */
  get longBytes(): number {
    return this.#long?.length ?? 0;
  }

  /** Sequence id for undrop's response to the client's packets. */
  get answerSequenceId(): number {
    return packetCount(this.longBytes);
  }

  /** True if no command is half sent: a drain may end the session here. */
  get atCommandEdge(): boolean {
    return this.#passing === 0 && this.#held.length === 0 && !this.#isPart && this.#long === null;
  }

  /**
   * Takes the client's next bytes. Returns null when all have passed, or, if the gate stopped
   * before or after a packet, the bytes to feed again when it goes on.
   */
  feed(arrived: Buffer): Buffer | null {
    if (this.#isOneInnocent(arrived)) {
      this.#owner.connections.toServer(arrived);
      return null;
    }
    let chunk = arrived;
    if (this.#held.length > 0) {
      this.#held.push(arrived);
      if (this.#held.length < this.#wantedBytes) return null;
      chunk = this.#held.take();
    }
    if (this.#long !== null) {
      this.#long.push(chunk);
      this.#owner.onLongGrown(this.#long.length);
      const packet = this.#long.next();
      if (packet === null) return null;
      chunk = this.#long.take();
      this.#long = null;
      this.#lastDataId = 0;
      if (!this.#owner.letThrough(packet)) return chunk;
      this.#owner.onCommand(packet.payload[0] ?? com.COM_SLEEP);
      this.#owner.connections.toServer(encodePacket(packet.payload, 0));
    }
    let at = 0;
    while (at < chunk.length) {
      if (this.#passing > 0) {
        const taken = Math.min(this.#passing, chunk.length - at);
        this.#passing -= taken;
        at += taken;
        continue;
      }
      const size = this.#sizeOfNext(chunk, at);
      if (size > chunk.length - at) {
        this.#owner.connections.toServer(chunk.subarray(0, at));
        this.#wantedBytes = size;
        this.#held.push(chunk.subarray(at));
        return null;
      }
      if (size === 0) {
        this.#pass(chunk, at);
      } else if (chunk.readUIntLE(at, 3) > this.#heldBytesMax) {
        const headBytes = HEADER_BYTES + this.#heldBytesMax;
        if (!this.#owner.letLongPass(chunk.subarray(at, at + headBytes))) {
          this.#owner.connections.toServer(chunk.subarray(0, at));
          this.#long = new PacketAssembler(longBytesMax(chunk.readUIntLE(at, 3)));
          return this.feed(chunk.subarray(at));
        }
        this.#pass(chunk, at);
      } else if (this.#inspect(chunk.subarray(at, at + size))) {
        at += size;
      } else {
        this.#owner.connections.toServer(chunk.subarray(0, at));
        return Buffer.from(chunk.subarray(at + size));
      }
    }
    this.#owner.connections.toServer(chunk);
    return null;
  }

  /**
   * The common case: one whole command in the chunk that can't be undrop's. A single scan, no
   * object.
   */
  #isOneInnocent(chunk: Buffer): boolean {
    const { length } = chunk;
    if (length <= HEADER_BYTES || length > HEADER_BYTES + COMMON_BYTES_MAX) return false;
    if (((chunk[0] ?? 0) | ((chunk[1] ?? 0) << 8)) !== length - HEADER_BYTES) return false;
    // A third length byte, a sequence id, or a packet in progress: not the common case.
    if (chunk[2] !== 0 || chunk[3] !== 0 || !this.atCommandEdge) return false;
    if (this.#lastDataId === 255) return false;
    const command = chunk[HEADER_BYTES] ?? 0;
    const hasText = command === com.COM_QUERY || command === com.COM_STMT_PREPARE;
    if (!hasText && (command !== com.COM_STMT_EXECUTE || this.#handles.isWatching)) return false;
    if (command === com.COM_QUERY && this.#handles.watchesNames) return false;
    if (hasText && mayBeOurs(chunk, HEADER_BYTES + 1, length, this.#protect)) return false;
    this.#lastDataId = 0;
    this.#owner.onCommand(command);
    return true;
  }

  /**
   * How many bytes of the packet at `at` are needed to classify it: 0 if it passes unseen,
   * otherwise the size of the whole packet, of the head of a long text, or of the header, if the
   * length isn't known yet.
   */
  #sizeOfNext(chunk: Buffer, at: number): number {
    const left = chunk.length - at;
    if (left < HEADER_BYTES) return HEADER_BYTES;
    const sequenceId = chunk[at + 3] ?? 0;
    const length = chunk.readUIntLE(at, 3);
    if (this.#isData(sequenceId)) {
      const isWrapped = !this.#isPart && sequenceId === 0 && length > 0;
      return isWrapped ? this.#sizeOfWrapped(chunk, at) : 0;
    }
    if (length === 0) return HEADER_BYTES;
    if (left < HEADER_BYTES + 1) return HEADER_BYTES + 1;
    const command = chunk[at + HEADER_BYTES] ?? 0;
    // The server returns an error for such a packet, but nothing for a complete one.
    if (length < (UNANSWERED_BYTES_MIN.get(command) ?? 0)) {
      throw new MalformedPacketError(`Command ${command}: cut short at ${length} bytes.`);
    }
    if (this.#handles.isWatching && ON_HANDLES.includes(command) && length >= HANDLE_BYTES) {
      if (left < HEADER_BYTES + HANDLE_BYTES) return HEADER_BYTES + HANDLE_BYTES;
      const isTaken = this.#handles.takes(command, chunk.readUInt32LE(at + HEADER_BYTES + 1));
      const isComplete = length >= EXECUTE_BYTES && length <= this.#heldBytesMax;
      return isTaken && isComplete ? HEADER_BYTES + length : 0;
    }
    // Texts, schema changes, and commands that aren't relayed are read whole.
    const isText = TEXTS.includes(command);
    const leadsToSchema = command === com.COM_INIT_DB || command === com.COM_CHANGE_USER;
    if (!isText && !leadsToSchema && com.isRelayedCommand(command)) return 0;
    if (length <= this.#heldBytesMax) return HEADER_BYTES + length;
    if (isText) return HEADER_BYTES + Math.min(LONG_HEAD_BYTES, this.#heldBytesMax);
    const params = { bytes: length, bytesMax: this.#heldBytesMax };
    throw new UndropError('UNDROP_PACKET_TOO_LARGE', params);
  }

  /** A continuation, a reply or the data of a file: never a command. */
  #isData(sequenceId: number): boolean {
    if (this.#isPart || sequenceId !== 0) return true;
    // An upload's ids wrap from 255 to 0; it ends with an empty packet, or by the server.
    return this.#lastDataId === 255 && !this.#options.isAllAnswered();
  }

  /**
   * Servers end an upload early only after a pause of net_read_timeout, a second or more (MariaDB,
   * if it was killed meanwhile; others close the connection).
   */
  #sizeOfWrapped(chunk: Buffer, at: number): number {
    if (this.#nowMs() - this.#wrappedAtMs < SILENCE_MS) return 0;
    if (chunk.length - at <= HEADER_BYTES) return HEADER_BYTES + 1;
    const command = chunk[at + HEADER_BYTES] ?? 0;
    const mayExecute = this.#handles.isWatching && command === com.COM_STMT_EXECUTE;
    if (mayExecute || CAN_DROP.includes(command)) throw new MalformedPacketError(IN_AN_UPLOAD);
    return 0;
  }

  /** Passes the packet at `at`; its header is here, the rest may not be. */
  #pass(chunk: Buffer, at: number): void {
    const length = chunk.readUIntLE(at, 3);
    const sequenceId = chunk[at + 3] ?? 0;
    const isData = this.#isData(sequenceId);
    const command = chunk[at + HEADER_BYTES] ?? com.COM_SLEEP;
    this.#passing = HEADER_BYTES + length;
    if (!isData) this.#owner.onCommand(command);
    this.#isPartOfCommand = isData ? this.#isPart && this.#isPartOfCommand : true;
    // An empty continuation ends a packet of 16 MiB, not the upload.
    const isUpload = isData && !this.#isPartOfCommand && (length > 0 || this.#isPart);
    this.#lastDataId = isUpload ? sequenceId : 0;
    if (sequenceId === 255) this.#wrappedAtMs = this.#nowMs();
    this.#isPart = length === PAYLOAD_BYTES_MAX;
  }

  /** Classifies one whole packet: true if it passes. */
  #inspect(framed: Buffer): boolean {
    this.#lastDataId = 0;
    const { length } = framed;
    const command = length > HEADER_BYTES ? (framed[HEADER_BYTES] ?? com.COM_SLEEP) : com.COM_SLEEP;
    const isInnocent =
      TEXTS.includes(command) &&
      !(command === com.COM_QUERY && this.#handles.watchesNames) &&
      !mayBeOurs(framed, HEADER_BYTES + 1, length, this.#protect);
    if (length > HEADER_BYTES && !isInnocent) {
      const payload = Buffer.from(framed.subarray(HEADER_BYTES));
      if (!this.#owner.letThrough({ payload, sequenceId: 0 })) return false;
    }
    this.#owner.onCommand(command);
    return true;
  }
}

/** The longest text whose first part has that length. */
export function longBytesMax(firstPart: number): number {
  return firstPart < PAYLOAD_BYTES_MAX ? firstPart : TEXT_BYTES_MAX;
}

const IN_AN_UPLOAD = 'LOCAL INFILE: the data after a pause may be a command that drops tables.';
/** Commands whose payload is the text of a statement. */
const TEXTS: readonly number[] = [com.COM_QUERY, com.COM_STMT_PREPARE];
/** Commands that can drop, or lead to a schema of undrop. */
const CAN_DROP: readonly number[] = [
  com.COM_INIT_DB,
  com.COM_QUERY,
  com.COM_DROP_DB,
  com.COM_STMT_PREPARE,
];
/** Commands with the id of a prepared statement that matter if it is a drop. */
const ON_HANDLES: readonly number[] = [com.COM_STMT_EXECUTE, com.COM_STMT_CLOSE];
/** The command and the id after it. */
const HANDLE_BYTES = 5;
/** The same, with flags and an iteration count: the server returns an error for a shorter one. */
const EXECUTE_BYTES = 10;
/** Well below the shortest net_read_timeout, which counts whole seconds. */
const SILENCE_MS = 250;

/** Commands without a response, and their shortest length. */
const UNANSWERED_BYTES_MIN: ReadonlyMap<number, number> = new Map([
  [com.COM_STMT_CLOSE, 5],
  [com.COM_STMT_SEND_LONG_DATA, 7],
]);
