/**
 * Follows the server's bytes by their packet headers, so that we know whether a session is idle
 * (drain) and in a transaction, and can count. It never decides where an answer of ours goes: that
 * is the marker's business (session/user-session/wire-user-session.ts). A wrong guess here costs a
 * late drain, the bounds of the parts of one answer (session/commands/relay-part.ts), a long text
 * that is read late or not at all (session/commands/command-phase.ts), or that data of an upload is
 * taken for a command (session/gate/command-gate.ts), no more.
 *
 * Hot path: one call for a chunk, integers, no object per packet. At most 24 bytes of a packet are
 * looked at; of an ERR its text, too, because it may name a table that is held, and of an OK that
 * reports a change of the session, because that may be its default schema. Grammar: protocol
 * pages of the manual for each command.
 * https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_command_phase.html
 */
import * as caps from '../wire/capabilities.js';
import * as com from '../wire/commands.js';
import { HEADER_BYTES, PAYLOAD_BYTES_MAX } from '../wire/framing.js';
import { lenencBytes, lenencValue } from '../wire/packet-reader.js';
import * as ER from '../wire/server-errors.js';

/** The grammars of responses. */
const NO_PACKET = 0;
const ONE_PACKET = 1;
const RESULT_SETS = 2;
const FIELD_LIST = 3;
const PREPARE = 4;
const AUTHENTICATION = 5;
const STREAM = 6;
const FETCH = 7;

/** The grammar of the response to each command. */
const GRAMMARS = new Uint8Array(256).fill(ONE_PACKET);
GRAMMARS[com.COM_QUIT] = NO_PACKET;
GRAMMARS[com.COM_STMT_CLOSE] = NO_PACKET;
GRAMMARS[com.COM_STMT_SEND_LONG_DATA] = NO_PACKET;
GRAMMARS[com.SEMI_SYNC_ACK] = NO_PACKET;
GRAMMARS[com.COM_QUERY] = RESULT_SETS;
GRAMMARS[com.COM_STMT_EXECUTE] = RESULT_SETS;
GRAMMARS[com.COM_STMT_BULK_EXECUTE] = RESULT_SETS;
GRAMMARS[com.COM_PROCESS_INFO] = RESULT_SETS;
GRAMMARS[com.COM_FIELD_LIST] = FIELD_LIST;
GRAMMARS[com.COM_STMT_PREPARE] = PREPARE;
GRAMMARS[com.COM_CHANGE_USER] = AUTHENTICATION;
GRAMMARS[com.COM_BINLOG_DUMP] = STREAM;
GRAMMARS[com.COM_BINLOG_DUMP_GTID] = STREAM;
GRAMMARS[com.COM_STMT_FETCH] = FETCH;

/** The position in a response. */
const AT_START = 0;
const IN_COLUMNS = 1;
const AT_METADATA_EOF = 2;
const IN_ROWS = 3;
const IN_DEFINITIONS = 4;
/** By position, in the response to a COM_QUERY. */
const PLACES = ['start', 'columns', 'metadata-eof', 'rows'] as const;

/** header + two lenenc integers + status + warnings of an OK packet, rounded up. */
const HEAD_BYTES_MAX = 24;
/** ERR: header + errno + SQLSTATE + 512 bytes of text, rounded up; as much of an OK. */
const LONG_HEAD_BYTES_MAX = 536;
/** errno of MariaDB's reports of progress. */
const PROGRESS = 0xffff;
const OUT_PARAMETERS_AND_MORE = caps.SERVER_PS_OUT_PARAMS | caps.SERVER_MORE_RESULTS_EXISTS;
/** Commands in flight in one session; a client that pipelines more isn't followed. */
const PIPELINE_MAX = 100_000;
/** The number of answered commands that are removed from the list together. */
const ANSWERED_MAX = 10_000;
/** A list that has grown longer is released once all commands are answered. */
const KEPT_MAX = 64;

export class ResponseTracker {
  readonly #deprecateEof: boolean;
  readonly #metadataFlag: boolean;
  readonly #optionalMetadata: boolean;

  /**
   * Grammars of the outstanding responses, oldest first, from `#first` up to `#end`. Counted beside
   * the array, because changing its length for each command would cost more than all else.
   */
  #expected: number[] = [];
  #first = 0;
  #end = 0;

  #header = 0;
  #headerBytes = 0;
  #remaining = 0;
  #length = 0;
  #continuation = false;
  /** Replaced by a longer buffer at the first ERR. */
  #head = Buffer.alloc(HEAD_BYTES_MAX);
  #headBytes = 0;
  /** The number of bytes of the current packet that are kept. */
  #headMax = HEAD_BYTES_MAX;

  #place = AT_START;
  #packetsLeft = 0;
  #hasMoreAnyway = false;
  #status = 0;
  /**
   * True once a packet came that no grammar allows: whether the session is idle is no longer known.
   */
  untracked = false;
  /** Complete responses so far. */
  responses = 0;
  /** The last command that has a response; at first 0. */
  lastCommand = 0;
  /** Called for each ERR 1146 with its payload, which is valid during the call only. */
  onNoSuchTable: ((payload: Buffer) => void) | null = null;
  /** The same for each OK with SERVER_SESSION_STATE_CHANGED; what is longer is cut. */
  onStateChanged: ((payload: Buffer) => void) | null = null;

  constructor(capabilities: caps.Capabilities) {
    this.#deprecateEof = caps.hasFlag(capabilities, caps.CLIENT_DEPRECATE_EOF);
    this.#optionalMetadata = caps.hasFlag(capabilities, caps.CLIENT_OPTIONAL_RESULTSET_METADATA);
    this.#metadataFlag =
      this.#optionalMetadata || (capabilities.mariadb & caps.MARIADB_CLIENT_CACHE_METADATA) !== 0;
  }

  /** Registers a command that was sent to the server. */
  expect(command: number): void {
    const grammar = GRAMMARS[command] ?? ONE_PACKET;
    if (grammar === NO_PACKET) return;
    this.lastCommand = command;
    // A client that always has commands in flight never empties the list by itself.
    if (this.#first >= ANSWERED_MAX) {
      this.#expected = this.#expected.slice(this.#first, this.#end);
      this.#end -= this.#first;
      this.#first = 0;
    }
    if (this.#end - this.#first >= PIPELINE_MAX) this.untracked = true;
    else this.#expected[this.#end++] = grammar;
  }

  /** True if every response is complete and the stream is at a packet boundary. */
  get idle(): boolean {
    return !this.untracked && this.#first === this.#end && this.atPacketEdge;
  }

  /** True at a packet boundary: the next byte begins a header. */
  get atPacketEdge(): boolean {
    return this.#remaining === 0 && this.#headerBytes === 0 && !this.#continuation;
  }

  /**
   * How many of the next `count` bytes certainly belong to the current packet; 0 at a boundary.
   * Within a header it is one byte at a time.
   */
  bytesToPacketEnd(count: number): number {
    if (this.atPacketEdge) return 0;
    return this.#remaining > 0 ? Math.min(this.#remaining, count) : Math.min(1, count);
  }

  /** The position of the next packet in the response to a COM_QUERY. */
  get place(): (typeof PLACES)[number] {
    return PLACES[this.#place] ?? 'rows';
  }

  /** SERVER_STATUS_IN_TRANS in the last status flags of the server. */
  get inTransaction(): boolean {
    return (this.#status & caps.SERVER_STATUS_IN_TRANS) !== 0;
  }

  /** Follows the bytes of `chunk` from `start` to `end`. */
  feed(chunk: Buffer, start = 0, end = chunk.length): void {
    let at = start;
    while (at < end) {
      if (this.#remaining > 0) {
        const taken = Math.min(this.#remaining, end - at);
        if (!this.#continuation && this.#headBytes < this.#headMax) {
          this.#keepHead(chunk, at, taken);
        }
        at += taken;
        this.#remaining -= taken;
        if (this.#remaining === 0) this.#packetEnds();
        continue;
      }
      if (this.#headerBytes === 0 && end - at >= HEADER_BYTES) {
        this.#length =
          (chunk[at] ?? 0) | ((chunk[at + 1] ?? 0) << 8) | ((chunk[at + 2] ?? 0) << 16);
        at += HEADER_BYTES;
      } else {
        this.#header |= (chunk[at] ?? 0) << (8 * this.#headerBytes);
        at++;
        this.#headerBytes++;
        if (this.#headerBytes < HEADER_BYTES) continue;
        this.#length = this.#header & PAYLOAD_BYTES_MAX;
        this.#header = 0;
        this.#headerBytes = 0;
      }
      this.#remaining = this.#length;
      if (!this.#continuation) this.#headBytes = 0;
      if (this.#remaining === 0) this.#packetEnds();
    }
  }

  /** The first byte of a row or a column definition is enough, unless it is ambiguous. */
  #keepHead(chunk: Buffer, at: number, taken: number): void {
    if (this.#headBytes === 0) {
      const first = chunk[at] ?? 0;
      this.#headMax = HEAD_BYTES_MAX;
      if (first < 0xfe && this.#place !== AT_START && this.#place !== AT_METADATA_EOF) {
        this.#head[0] = first;
        this.#headBytes = HEAD_BYTES_MAX;
        return;
      }
      if (first === 0xff || (first === 0x00 && this.#length > HEAD_BYTES_MAX)) {
        this.#headMax = LONG_HEAD_BYTES_MAX;
        if (this.#head.length < this.#headMax) this.#head = Buffer.alloc(this.#headMax);
      }
    }
    const count = Math.min(taken, this.#headMax - this.#headBytes);
    for (let index = 0; index < count; index++) {
      this.#head[this.#headBytes + index] = chunk[at + index] ?? 0;
    }
    this.#headBytes += count;
  }

  /** A packet of maximum length is continued; only the last part ends a logical packet. */
  #packetEnds(): void {
    const isPart = this.#length === PAYLOAD_BYTES_MAX;
    const isShort = !this.#continuation;
    this.#continuation = isPart;
    if (isPart) return;
    if (this.#first === this.#end) {
      // Unsolicited: a server that closes a session (4031 at wait_timeout, shutdown) sends an ERR.
      if (this.#head[0] !== 0xff) this.untracked = true;
      return;
    }
    this.#packet(this.#expected[this.#first] ?? 0, this.#head[0] ?? 0, isShort);
  }

  #packet(grammar: number, first: number, isShort: boolean): void {
    // MariaDB's progress report: an ERR with errno 0xFFFF before the response of an ALTER TABLE,
    // and among the rows of an OPTIMIZE (https://mariadb.com/kb/en/progress-reporting/).
    if (first === 0xff && this.#headBytes > 2) {
      const errno = this.#head.readUInt16LE(1);
      if (errno === PROGRESS) return;
      if (errno === ER.NO_SUCH_TABLE) {
        this.onNoSuchTable?.(this.#head.subarray(0, this.#headBytes));
      }
    }
    switch (grammar) {
      case ONE_PACKET:
        this.#readStatus(first);
        return this.#responseEnds();
      case RESULT_SETS:
        return this.#resultSetPacket(first, isShort);
      case FETCH:
        return this.#rowPacket(first, isShort);
      case FIELD_LIST:
        if (first === 0xff || (isShort && first === 0xfe)) this.#responseEnds();
        return;
      case PREPARE:
        return this.#preparePacket(first);
      case AUTHENTICATION:
        if (first === 0x00) this.#readStatus(first);
        if (first === 0x00 || first === 0xff) this.#responseEnds();
        return;
      default:
        if ((isShort && first === 0xfe && this.#length <= 9) || first === 0xff) {
          this.#responseEnds();
        }
    }
  }

  #resultSetPacket(first: number, isShort: boolean): void {
    switch (this.#place) {
      case AT_START:
        return this.#resultStarts(first);
      case IN_COLUMNS:
        if (first === 0xff) return this.#responseEnds();
        this.#packetsLeft--;
        if (this.#packetsLeft === 0) this.#place = this.#deprecateEof ? IN_ROWS : AT_METADATA_EOF;
        return;
      case AT_METADATA_EOF:
        // Opening a cursor may fail after the columns were sent.
        if (first === 0xff) return this.#responseEnds();
        this.#readStatus(first);
        // OUT parameters: MySQL sets the flag for more results here, and not in the EOF after the
        // rows.
        this.#hasMoreAnyway = (this.#status & OUT_PARAMETERS_AND_MORE) === OUT_PARAMETERS_AND_MORE;
        // Without CLIENT_DEPRECATE_EOF this packet ends the response if a cursor was opened.
        if ((this.#status & caps.SERVER_STATUS_CURSOR_EXISTS) !== 0) return this.#responseEnds();
        this.#place = IN_ROWS;
        return;
      default:
        this.#rowPacket(first, isShort);
    }
  }

  #resultStarts(first: number): void {
    if (first === 0x00) {
      this.#readStatus(first);
      if ((this.#status & caps.SERVER_MORE_RESULTS_EXISTS) === 0) this.#responseEnds();
    } else if (first === 0xff) {
      this.#responseEnds();
    } else if (first !== 0xfb) {
      this.#columnsStart();
    }
    // 0xFB requests a file: the client's packets follow, then an OK or ERR at this same position.
  }

  #columnsStart(): void {
    const width = lenencBytes(this.#head[0] ?? 0);
    const count = lenencValue(this.#head);
    const described = !this.#metadataFlag || this.#head[width] === 1;
    if (described) this.#place = IN_COLUMNS;
    else this.#place = this.#deprecateEof ? IN_ROWS : AT_METADATA_EOF;
    this.#packetsLeft = count;
  }

  #rowPacket(first: number, isShort: boolean): void {
    if (first === 0xff) return this.#responseEnds();
    if (first !== 0xfe || !isShort) return;
    // A row whose first column is 16 MiB or longer starts with 0xFE too, but isn't short.
    if (!this.#deprecateEof && this.#length > 5) return;
    this.#readStatus(first);
    const hasMore = this.#hasMoreAnyway || (this.#status & caps.SERVER_MORE_RESULTS_EXISTS) !== 0;
    this.#hasMoreAnyway = false;
    if (hasMore) this.#place = AT_START;
    else this.#responseEnds();
  }

  #preparePacket(first: number): void {
    if (this.#place === AT_START) {
      if (first === 0xff) return this.#responseEnds();
      const columns = this.#head.readUInt16LE(5);
      const params = this.#head.readUInt16LE(7);
      const described = !this.#optionalMetadata || this.#head[12] === 1;
      this.#packetsLeft =
        this.#groupPackets(columns, described) + this.#groupPackets(params, described);
      this.#place = IN_DEFINITIONS;
    } else {
      this.#packetsLeft--;
    }
    if (this.#packetsLeft === 0) this.#responseEnds();
  }

  #groupPackets(count: number, described: boolean): number {
    if (count === 0) return 0;
    return (described ? count : 0) + (this.#deprecateEof ? 0 : 1);
  }

  #responseEnds(): void {
    this.#place = AT_START;
    this.#hasMoreAnyway = false;
    this.responses++;
    this.#first++;
    if (this.#first < this.#end) return;
    if (this.#expected.length > KEPT_MAX) this.#expected = [];
    this.#first = 0;
    this.#end = 0;
  }

  /** Status flags of an OK (0x00, or 0xFE if EOF is deprecated) or of an EOF packet. */
  #readStatus(first: number): void {
    if (first !== 0x00 && first !== 0xfe) return;
    const isEof = first === 0xfe && this.#length <= 5;
    let at = 3;
    if (!isEof) {
      at = 1 + lenencBytes(this.#head[1] ?? 0);
      at += lenencBytes(this.#head[at] ?? 0);
    }
    if (this.#headBytes < at + 2) return;
    // Without `readUInt16LE`, which calls two functions to check the offset.
    this.#status = (this.#head[at] ?? 0) | ((this.#head[at + 1] ?? 0) << 8);
    if ((this.#status & caps.SERVER_SESSION_STATE_CHANGED) === 0 || first !== 0x00) return;
    this.onStateChanged?.(this.#head.subarray(0, this.#headBytes));
  }
}
