/**
 * Runs undrop's statements on the user's own session, on the wire: the marker and the first of them
 * go out in one write after all outstanding commands; from the response to the marker on, the
 * stream belongs to undrop.
 *
 * Invariant: responses for the client reach it unchanged, before the marker's response and after
 * `end`; responses to undrop never do.
 */
import { randomBytes } from 'node:crypto';
import type { CommandSession, SessionCommand } from '../../drop/steps/world.js';
import { assert } from '../../errors.js';
import type { ResponseTracker } from '../../relay/response-tracker.js';
import type { Capabilities } from '../../wire/capabilities.js';
import * as com from '../../wire/commands.js';
import { encodePacket, HEADER_BYTES, PacketAssembler } from '../../wire/framing.js';
import { MalformedPacketError } from '../../wire/packet-reader.js';
import type { Result, ResultReader } from '../../wire/response.js';
import { readingPrepareResult, readingQueryResult } from '../../wire/response.js';
import * as ER from '../../wire/server-errors.js';
import type { SessionConnections } from '../connections.js';

/** The longest response to a statement of undrop (a SHOW CREATE TABLE, mostly). */
const ANSWER_BYTES_MAX = 64 * 1024 * 1024;

export interface WireUserSessionOptions {
  readonly capabilities: Capabilities;
  readonly tracker: ResponseTracker;
  readonly connections: Pick<SessionConnections, 'toServer' | 'toClient'>;
  /**
   * Default: false. A PREPARE of the client may be refused: one of undrop's fails right after the
   * marker, so that a pipelined EXECUTE of "the last prepared" (MariaDB) finds none and gets its
   * 1243. It can't be the marker: its error is not always the parser's (1461 if there are too many
   * prepared statements, 1820 if the password has expired), and then quotes no nonce.
   */
  readonly failsPrepare?: boolean;
  /** Called with each command that goes to the server. */
  onSent?(payload: Buffer): void;
}

interface Run {
  readonly readers: ResultReader[];
  readonly results: Result[];
  readonly resolve: (results: readonly Result[]) => void;
  readonly reject: (error: Error) => void;
}

export class WireUserSession implements CommandSession {
  readonly #options: WireUserSessionOptions;
  readonly #assembler = new PacketAssembler(ANSWER_BYTES_MAX);
  #seeker: MarkerSeeker | null = null;
  #markerSent = false;
  /** Reads and discards the response to the PREPARE that fails. */
  #failing: ResultReader | null = null;
  #run: Run | null = null;
  #failure: Error | null = null;

  constructor(options: WireUserSessionOptions) {
    this.#options = options;
  }

  run(commands: readonly SessionCommand[]): Promise<readonly Result[]> {
    assert(this.#run === null, 'one run at a time on a user session');
    if (this.#failure !== null) return Promise.reject(this.#failure);
    const { capabilities } = this.#options;
    return new Promise((resolve, reject) => {
      const sent = commands.map((command) => coded(command, capabilities));
      const readers = sent.flatMap(({ reader }) => reader ?? []);
      this.#run = { readers, results: [], resolve, reject };
      for (const { payload } of sent) this.#options.onSent?.(payload);
      const frames = sent.map(({ payload }) => encodePacket(payload, 0));
      this.#options.connections.toServer(Buffer.concat([...this.#marker(), ...frames]));
      this.#settle();
    });
  }

  /** The server's next bytes. Throws if they aren't responses to undrop's statements. */
  feed(chunk: Buffer): void {
    let own: Buffer | null = chunk;
    if (!this.#markerSent) {
      // Responses to what the client has sent before, while nothing of undrop's is on its way.
      this.#options.tracker.feed(chunk);
      return this.#options.connections.toClient(chunk);
    }
    if (this.#seeker !== null) {
      const found = this.#seeker.feed(chunk);
      this.#options.connections.toClient(found.foreign);
      own = found.own;
      if (own === null) return;
      this.#seeker = null;
    }
    this.#assembler.push(own);
    this.#settle();
  }

  /** The connection ended: rejects pending responses with `error`. */
  fail(error: Error): void {
    this.#failure = error;
    this.#run?.reject(error);
    this.#run = null;
  }

  /**
   * Gives the stream back; returns the bytes after the last response to undrop, which are the
   * client's.
   */
  end(): Buffer {
    assert(this.#run === null, 'the stream goes back when our statements are answered');
    return this.#assembler.take();
  }

  #marker(): Buffer[] {
    if (this.#markerSent) return [];
    this.#markerSent = true;
    const { capabilities, failsPrepare, tracker } = this.#options;
    this.#seeker = new MarkerSeeker(tracker);
    const { text } = this.#seeker;
    const marker = encodePacket(com.encodeComQuery(text, capabilities), 0);
    if (failsPrepare !== true) return [marker];
    const { payload, reader } = coded({ kind: 'prepare', text }, capabilities);
    this.#failing = reader;
    return [marker, encodePacket(payload, 0)];
  }

  #settle(): void {
    const run = this.#run;
    if (run === null || this.#seeker !== null) return;
    for (;;) {
      const reader = this.#failing ?? run.readers[run.results.length];
      if (reader === undefined) break;
      const packet = this.#assembler.next();
      if (packet === null) return;
      const { done, value: result } = reader.next(packet.payload);
      if (done !== true) continue;
      if (this.#failing === null) run.results.push(result);
      this.#failing = null;
    }
    this.#run = null;
    run.resolve(run.results);
  }
}

/** The packet and the reader of its response; null: it has none. */
function coded(
  command: SessionCommand,
  capabilities: Capabilities,
): { readonly payload: Buffer; readonly reader: ResultReader | null } {
  if (command.kind === 'close') {
    const payload = Buffer.of(com.COM_STMT_CLOSE, 0, 0, 0, 0);
    payload.writeUInt32LE(command.statementId, 1);
    return { payload, reader: null };
  }
  const isPrepare = command.kind === 'prepare';
  const reader = isPrepare ? readingPrepareResult(capabilities) : readingQueryResult(capabilities);
  reader.next();
  if (command.kind === 'packet') return { payload: command.payload, reader };
  const { text } = command;
  const payload = isPrepare
    ? Buffer.concat([Buffer.of(com.COM_STMT_PREPARE), text])
    : com.encodeComQuery(text, capabilities);
  return { payload, reader };
}

// ── the marker ───────────────────────────────────────────────────────────────────────────────────

const NOTHING: Buffer = Buffer.alloc(0);

/** Payload bytes of an ERR that may be the marker's; the server bounds its texts at 512 bytes. */
const ERR_BYTES_MAX = 4096;

/**
 * Finds the response to the marker. Invariant: every byte before it goes to the client, and none of
 * it does.
 */
export class MarkerSeeker {
  /**
   * A statement that can't be parsed, sent after whatever is under way. Its ERR quotes the nonce
   * and starts exactly where the last foreign response ends, so the place of an answer of ours
   * never depends on the response tracker being right. It executes nothing, commits nothing and
   * keeps GTID_NEXT; tried in every session state on all four servers. Nothing starts with a
   * parenthesis that closes, in no sql_mode; the bare word is a call in MariaDB's ORACLE mode, and
   * its error doesn't quote it.
   */
  readonly text: Buffer;
  readonly #nonce: Buffer;
  readonly #tracker: ResponseTracker;
  /** Bytes from a packet boundary on that can't be attributed yet. */
  #withheld = NOTHING;

  /**
   * `tracker`: has followed the stream up to here, so it knows the packet boundaries. `nonce`:
   * identifies the response, `undrop_` and 24 hex digits, never used twice.
   */
  constructor(tracker: ResponseTracker, nonce = `undrop_${randomBytes(12).toString('hex')}`) {
    this.text = Buffer.from(`)${nonce}`);
    this.#nonce = Buffer.from(nonce);
    this.#tracker = tracker;
  }

  /**
   * Takes the server's next bytes. `foreign` go to the client; `own` are those after the marker's
   * response, null while it hasn't come.
   */
  feed(chunk: Buffer): { readonly foreign: Buffer; readonly own: Buffer | null } {
    const bytes = this.#withheld.length === 0 ? chunk : Buffer.concat([this.#withheld, chunk]);
    this.#withheld = NOTHING;
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

  /** Bytes from `at` that are certainly foreign; 0 if the packet must be complete first. */
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
   * its first or second byte; and on MariaDB a KILL QUERY may hit the marker. Then, and only then,
   * the tracker must have no outstanding response. Throws if it has lost track, because waiting for
   * another response would take for ever.
   */
  #isMarker(payload: Buffer): boolean {
    // The nonce comes in character_set_results, which may have put NULs between the letters.
    if (Buffer.from(payload.filter((byte) => byte !== 0)).includes(this.#nonce)) return true;
    const isWordless =
      payload.length <= WORDLESS.length + 1 &&
      payload.subarray(0, WORDLESS.length).equals(WORDLESS);
    if (isWordless && this.#tracker.untracked) {
      throw new MalformedPacketError(
        'whose answer a syntax error without words is can not be told',
      );
    }
    return (isWordless || isInterrupted(payload)) && this.#tracker.idle;
  }
}

/** Whether KILL QUERY or max_statement_time has interrupted the statement. */
function isInterrupted(payload: Buffer): boolean {
  if (payload.length < 3) return false;
  const errno = payload.readUInt16LE(1);
  return errno === ER.QUERY_INTERRUPTED || errno === ER.STATEMENT_TIMEOUT;
}

/** The beginning of a syntax error whose text is cut off before its second letter. */
const WORDLESS = Buffer.from('\xff\x28\x04#42000', 'latin1');
