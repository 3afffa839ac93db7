/**
 * A client that speaks the protocol packet by packet: it sends whatever bytes a test wants and
 * hands back every packet of an answer as it came, so that two answers can be compared raw. For
 * accounts without a password.
 *
 * Invariant: its grammar is its own, none of src/ is used: both would be wrong alike.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { breakOff } from './break-off.js';

export const CLIENT = {
  LONG_PASSWORD: 1,
  FOUND_ROWS: 1 << 1,
  LONG_FLAG: 1 << 2,
  CONNECT_WITH_DB: 1 << 3,
  LOCAL_FILES: 1 << 7,
  PROTOCOL_41: 1 << 9,
  TRANSACTIONS: 1 << 13,
  RESERVED: 1 << 14,
  SECURE_CONNECTION: 1 << 15,
  MULTI_STATEMENTS: 1 << 16,
  MULTI_RESULTS: 1 << 17,
  PS_MULTI_RESULTS: 1 << 18,
  PLUGIN_AUTH: 1 << 19,
  SESSION_TRACK: 1 << 23,
  DEPRECATE_EOF: 1 << 24,
  OPTIONAL_RESULTSET_METADATA: 1 << 25,
  QUERY_ATTRIBUTES: 1 << 27,
} as const;

/** MariaDB's word of extended capabilities. */
export const MARIADB_CLIENT = {
  PROGRESS: 1,
  STMT_BULK_OPERATIONS: 1 << 2,
  EXTENDED_METADATA: 1 << 3,
  CACHE_METADATA: 1 << 4,
} as const;

const NEEDED =
  CLIENT.LONG_PASSWORD |
  CLIENT.PROTOCOL_41 |
  CLIENT.TRANSACTIONS |
  CLIENT.SECURE_CONNECTION |
  CLIENT.MULTI_RESULTS |
  CLIENT.PS_MULTI_RESULTS |
  CLIENT.PLUGIN_AUTH;

/** What most drivers of today ask for. */
export const MODERN = CLIENT.SESSION_TRACK | CLIENT.DEPRECATE_EOF;

const MORE_RESULTS = 0x0008;
/** Longer than anything here takes: a test that waits for more has found something. */
const SILENCE_MS = 60_000;
/** utf8mb4_general_ci, which all servers of the set know. */
const COLLATION_UTF8MB4 = 45;

export interface RawClientOptions {
  readonly user?: string;
  readonly schema?: string | null;
  /** Capabilities beside the needed ones; default `MODERN`. Those the server has are agreed. */
  readonly flags?: number;
  readonly mariadb?: number;
  /** Collation id of the handshake. */
  readonly collation?: number;
}

export type RawPacket = { readonly sequenceId: number; readonly payload: Buffer };

type RawOk = ReturnType<typeof decodeOk>;
type RawErr = ReturnType<typeof decodeErr>;

interface RawRows {
  readonly kind: 'rows';
  readonly rows: readonly (readonly (Buffer | null)[])[];
  readonly status: number;
  readonly warnings: number;
}

export type RawResult = RawOk | RawErr | RawRows;

/** The whole answer to one command. */
export interface RawAnswer {
  readonly packets: readonly RawPacket[];
  /** One for each statement that the server came to; for a PREPARE that succeeds none. */
  readonly results: readonly RawResult[];
}

type Text = string | Uint8Array;

export class RawClient {
  readonly #socket: Socket;
  #buffered: Buffer = Buffer.alloc(0);
  #ended: Error | null = null;
  #wake: () => void = () => undefined;
  /** Reads answers one after another, whoever asks. */
  #tail: Promise<unknown> = Promise.resolve();
  /** Agreed with the server. */
  flags = 0;
  mariadb = 0;
  threadId = 0;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => {
      this.#buffered = Buffer.concat([this.#buffered, chunk]);
      this.#wake();
    });
    socket.on('error', (error) => this.#end(error));
    socket.on('close', () => this.#end(new Error('The connection was closed.')));
  }

  static async open(
    target: { readonly host: string; readonly port: number; readonly user: string },
    options: RawClientOptions = {},
  ): Promise<RawClient> {
    const socket = connect(target.port, target.host);
    await once(socket, 'connect');
    const client = new RawClient(socket);
    await client.#logIn({ user: target.user, ...options });
    return client;
  }

  /** COM_QUERY, with an empty set of query attributes where they are agreed. */
  query(text: Text): Promise<RawAnswer> {
    return this.command(this.queryPayload(text));
  }

  queryPayload(text: Text): Buffer {
    const hasAttributes = (this.flags & CLIENT.QUERY_ATTRIBUTES) !== 0;
    const head = hasAttributes ? [0x03, 0x00, 0x01] : [0x03];
    return Buffer.concat([Buffer.from(head), Buffer.from(text as string)]);
  }

  /** The cells of the only result set, as UTF-8; rejects where the server says an error. */
  async rows(text: Text): Promise<readonly (readonly (string | null)[])[]> {
    const [result] = (await this.query(text)).results;
    if (result === undefined || result.kind === 'err') {
      throw new Error(`${Buffer.from(text as string)}: ${result?.message}`);
    }
    if (result.kind === 'ok') return [];
    return result.rows.map((row) => row.map((cell) => cell?.toString() ?? null));
  }

  /** The first result in words: `OK 3` (rows), `1146 Table … doesn't exist`, or `rows`. */
  async words(text: Text): Promise<string> {
    return resultText((await this.query(text)).results[0]);
  }

  /** Runs texts that have to succeed. */
  async run(texts: readonly Text[]): Promise<void> {
    for (const text of texts) await this.rows(text);
  }

  /** Any command with a response like that of COM_QUERY, or with one OK or ERR. */
  command(payload: Uint8Array): Promise<RawAnswer> {
    this.write([payload]);
    return this.answer();
  }

  /** Frames each payload with sequence id 0 and sends all in one write. */
  write(payloads: readonly Uint8Array[]): void {
    this.#socket.write(Buffer.concat(payloads.map((payload) => frame(payload, 0))));
  }

  /** Sends bytes that are framed already, or only half a packet. */
  writeRaw(bytes: Uint8Array): void {
    this.#socket.write(bytes);
  }

  /** The next answer; several may be asked for before they come. */
  answer(): Promise<RawAnswer> {
    return this.#next(() => this.#readAnswer());
  }

  /** COM_STMT_PREPARE; the id is null where the server refuses. */
  async prepare(text: Text): Promise<{ readonly id: number | null; readonly answer: RawAnswer }> {
    this.write([Buffer.concat([Buffer.from([0x16]), Buffer.from(text as string)])]);
    const answer = await this.#next(() => this.#readPrepared());
    const [first] = answer.packets;
    const id = first?.payload[0] === 0 ? first.payload.readUInt32LE(1) : null;
    return { id, answer };
  }

  /** COM_STMT_EXECUTE without parameters. */
  execute(id: number): Promise<RawAnswer> {
    return this.command(Buffer.concat([Buffer.of(0x17), int32(id), Buffer.of(0), int32(1)]));
  }

  /** Breaks off, without COM_QUIT: `ended`, it goes on to read; `reset`, as one that crashes. */
  close(how: 'closed' | 'ended' | 'reset' = 'closed'): void {
    if (how === 'ended') this.#socket.end();
    else if (how === 'reset') breakOff(this.#socket);
    else this.#socket.destroy();
  }

  /** COM_QUIT; resolves when the other side has closed. */
  async quit(): Promise<void> {
    if (this.#ended !== null) return;
    const closed = once(this.#socket, 'close');
    this.write([Buffer.from([0x01])]);
    await closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.quit();
  }

  // ── reading ────────────────────────────────────────────────────────────────────────────────

  #next<T>(read: () => Promise<T>): Promise<T> {
    const turn = this.#tail.then(read);
    this.#tail = turn.catch(() => undefined);
    return turn;
  }

  async #readAnswer(): Promise<RawAnswer> {
    const packets: RawPacket[] = [];
    const results: RawResult[] = [];
    const take = async (): Promise<Buffer> => {
      const packet = await this.#packet();
      packets.push(packet);
      return packet.payload;
    };
    for (;;) {
      const first = await take();
      const result = isPlain(first) ? decodePlain(first) : await this.#readRows(first, take);
      results.push(result);
      if (result.kind === 'err' || (result.status & MORE_RESULTS) === 0) {
        return { packets, results };
      }
    }
  }

  async #readRows(first: Buffer, take: () => Promise<Buffer>): Promise<RawRows | RawErr> {
    const cursor = new Cursor(first);
    const columns = cursor.lenenc();
    const mayLackMetadata =
      (this.flags & CLIENT.OPTIONAL_RESULTSET_METADATA) !== 0 ||
      (this.mariadb & MARIADB_CLIENT.CACHE_METADATA) !== 0;
    const isDescribed = !mayLackMetadata || cursor.byte() === 1;
    for (let column = 0; isDescribed && column < columns; column++) await take();
    const deprecated = (this.flags & CLIENT.DEPRECATE_EOF) !== 0;
    if (!deprecated) await take();
    const rows: (Buffer | null)[][] = [];
    for (;;) {
      const packet = await take();
      if (packet[0] === 0xff) return decodeErr(packet);
      const isEnd = packet[0] === 0xfe && (deprecated || packet.length < 9);
      if (!isEnd) {
        rows.push(new Cursor(packet).cells());
        continue;
      }
      const { status, warnings } = deprecated ? decodeOk(packet) : decodeEof(packet);
      return { kind: 'rows', rows, status, warnings };
    }
  }

  async #readPrepared(): Promise<RawAnswer> {
    const packets = [await this.#packet()];
    const first = packets[0]?.payload ?? Buffer.alloc(0);
    if (first[0] === 0xff) return { packets, results: [decodeErr(first)] };
    const groups = [first.readUInt16LE(5), first.readUInt16LE(7)];
    const eofs = (this.flags & CLIENT.DEPRECATE_EOF) === 0 ? 1 : 0;
    const isDescribed = first.length < 13 || first[12] === 1;
    for (const count of groups) {
      const size = count === 0 ? 0 : (isDescribed ? count : 0) + eofs;
      for (let index = 0; index < size; index++) packets.push(await this.#packet());
    }
    return { packets, results: [] };
  }

  async #packet(): Promise<RawPacket> {
    const header = await this.#bytes(4);
    const payload = await this.#bytes(header.readUIntLE(0, 3));
    return { sequenceId: header[3] ?? 0, payload };
  }

  async #bytes(count: number): Promise<Buffer> {
    while (this.#buffered.length < count) {
      if (this.#ended !== null) throw this.#ended;
      const timer = setTimeout(() => this.#end(new Error('No answer came.')), SILENCE_MS);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      clearTimeout(timer);
    }
    const taken = this.#buffered.subarray(0, count);
    this.#buffered = this.#buffered.subarray(count);
    return taken;
  }

  #end(error: Error): void {
    this.#ended ??= error;
    this.#wake();
  }

  // ── logging in ─────────────────────────────────────────────────────────────────────────────

  async #logIn(options: RawClientOptions & { readonly user: string }): Promise<void> {
    const greeting = (await this.#packet()).payload;
    if (greeting[0] === 0xff) throw new Error(greeting.subarray(3).toString());
    const { response, ...agreed } = answerGreeting(greeting, options);
    ({ flags: this.flags, mariadb: this.mariadb, threadId: this.threadId } = agreed);
    this.#socket.write(frame(response, 1));
    for (;;) {
      const { payload, sequenceId } = await this.#packet();
      if (payload[0] === 0x00) return;
      if (payload[0] === 0xff) throw new Error(decodeErr(payload).message.toString());
      // Another plugin: the proof of an empty password is empty for each of them.
      if (payload[0] === 0xfe) this.#socket.write(frame(Buffer.alloc(0), sequenceId + 1));
    }
  }
}

/** What a greeting and the response to it agree on, and that response. */
export function answerGreeting(
  greeting: Buffer,
  options: RawClientOptions & { readonly user: string },
) {
  const version = greeting.indexOf(0, 1);
  const threadId = greeting.readUInt32LE(version + 1);
  const at = version + 5 + 9;
  const offered = greeting.readUInt16LE(at) + greeting.readUInt16LE(at + 5) * 0x10000;
  const isMariadb = (offered & CLIENT.LONG_PASSWORD) === 0;
  const mariadb = isMariadb ? (options.mariadb ?? 0) & greeting.readUInt32LE(at + 14) : 0;
  const plugin = greeting.subarray(greeting.lastIndexOf(0, -2) + 1, -1).toString('latin1');
  const { schema = null, user } = options;
  // Bit 0 set says that the extended word of MariaDB is not meant.
  const needed = mariadb === 0 ? NEEDED : NEEDED & ~CLIENT.LONG_PASSWORD;
  const withSchema = schema === null ? 0 : CLIENT.CONNECT_WITH_DB;
  const wanted = needed | withSchema | (options.flags ?? MODERN);
  const flags = (wanted & (offered | CLIENT.LONG_PASSWORD)) >>> 0;
  const head = Buffer.alloc(32);
  head.writeUInt32LE(flags, 0);
  head.writeUInt32LE(0x4000_0000, 4);
  head[8] = options.collation ?? COLLATION_UTF8MB4;
  head.writeUInt32LE(mariadb, 28);
  const named = schema === null ? '' : `${schema}\0`;
  const response = Buffer.concat([head, Buffer.from(`${user}\0\0${named}${plugin}\0`)]);
  return { threadId, mariadb, plugin, flags, response };
}

/** One packet; texts of 16 MiB aren't sent here. */
export function frame(payload: Uint8Array, sequenceId: number): Buffer {
  const header = Buffer.alloc(4);
  header.writeUIntLE(payload.length, 0, 3);
  header[3] = sequenceId;
  return Buffer.concat([header, payload]);
}

/** Four bytes, least first. */
export function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes;
}

/** `OK 3`, an error by number and text, or `rows`. */
export function resultText(result: RawResult | undefined): string {
  if (result?.kind === 'err') return `${result.errno} ${result.message}`;
  return result?.kind === 'ok' ? `OK ${result.affectedRows}` : 'rows';
}

function isPlain(payload: Buffer): boolean {
  return payload[0] === 0x00 || payload[0] === 0xff || isOldEof(payload);
}

/** Some commands (COM_SET_OPTION) answer with an EOF where others have an OK. */
function isOldEof(payload: Buffer): boolean {
  return payload[0] === 0xfe && payload.length < 9;
}

function decodePlain(payload: Buffer): RawOk | RawErr {
  if (payload[0] === 0xff) return decodeErr(payload);
  if (payload[0] === 0x00 || payload.length > 5) return decodeOk(payload);
  const { status, warnings } = decodeEof(payload);
  return { kind: 'ok', affectedRows: 0, insertId: 0, status, warnings, rest: Buffer.alloc(0) };
}

function decodeErr(payload: Buffer) {
  const hasState = payload[3] === 0x23;
  return {
    kind: 'err' as const,
    errno: payload.readUInt16LE(1),
    sqlState: hasState ? payload.toString('latin1', 4, 9) : '',
    message: payload.subarray(hasState ? 9 : 3),
  };
}

/** `rest`: info and session state, as they came. */
function decodeOk(payload: Buffer) {
  const cursor = new Cursor(payload);
  cursor.byte();
  const affectedRows = cursor.lenenc();
  const insertId = cursor.lenenc();
  const status = cursor.uint16();
  const warnings = cursor.uint16();
  const counts = { affectedRows, insertId, status, warnings };
  return { kind: 'ok' as const, ...counts, rest: cursor.rest() };
}

function decodeEof(payload: Buffer): { readonly status: number; readonly warnings: number } {
  return { warnings: payload.readUInt16LE(1), status: payload.readUInt16LE(3) };
}

class Cursor {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  byte(): number {
    return this.#bytes.readUInt8(this.#at++);
  }

  uint16(): number {
    this.#at += 2;
    return this.#bytes.readUInt16LE(this.#at - 2);
  }

  lenenc(): number {
    const first = this.byte();
    if (first < 0xfb) return first;
    const width = first === 0xfc ? 2 : first === 0xfd ? 3 : 6;
    const value = this.#bytes.readUIntLE(this.#at, width);
    this.#at += first === 0xfe ? 8 : width;
    return value;
  }

  rest(): Buffer {
    return this.#bytes.subarray(this.#at);
  }

  cells(): (Buffer | null)[] {
    const cells: (Buffer | null)[] = [];
    while (this.#at < this.#bytes.length) {
      if (this.#bytes[this.#at] === 0xfb) {
        this.#at++;
        cells.push(null);
        continue;
      }
      const length = this.lenenc();
      cells.push(this.#bytes.subarray(this.#at, this.#at + length));
      this.#at += length;
    }
    return cells;
  }
}
