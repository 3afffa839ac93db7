/**
 * A session that sends statement texts as bytes, whatever they are: no driver does, as each encodes
 * text by a charset of its own. For accounts without a password. Invariant: every answer is read to
 * its end, all results of a multi-statement text included.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

const CLIENT_FLAGS = 0x1 | 0x4 | 0x200 | 0x2000 | 0x8000 | 0x80000 | 0x20000;
const CLIENT_MULTI_STATEMENTS = 0x10000;
const MORE_RESULTS = 0x0008;
const AUTH_SWITCH = 0xfe;

/** What one statement was answered with. */
export interface Answer {
  /** 0 for OK and for a result set. */
  readonly errno: number;
  readonly message: string;
  /** The rows of a text result set, a cell as latin1 text. */
  readonly rows: readonly (readonly (string | null)[])[];
}

export class RawSession {
  readonly #socket: Socket;
  #buffer: Buffer<ArrayBufferLike> = Buffer.alloc(0);

  private constructor(socket: Socket) {
    this.#socket = socket;
  }

  static async open(
    target: { readonly host: string; readonly port: number; readonly user: string },
    multiStatements: boolean,
  ): Promise<RawSession> {
    const socket = connect(target.port, target.host);
    await once(socket, 'connect');
    const session = new RawSession(socket.setNoDelay(true));
    const greeting = await session.#packet();
    // Protocol 10, version, NUL, thread id, scramble …; the plugin's name is the last string.
    const plugin = greeting.toString('latin1').split('\0').at(-2) ?? '';
    const head = Buffer.alloc(32);
    head.writeUInt32LE(CLIENT_FLAGS | (multiStatements ? CLIENT_MULTI_STATEMENTS : 0));
    head.writeUInt32LE(1 << 30, 4);
    head[8] = 33;
    session.#send(1, Buffer.concat([head, Buffer.from(`${target.user}\0\0${plugin}\0`, 'latin1')]));
    for (let reply = await session.#packet(); reply[0] !== 0; reply = await session.#packet()) {
      if (reply[0] === 0xff) throw new Error(reply.toString('latin1'));
      if (reply[0] === AUTH_SWITCH) session.#send(3, Buffer.alloc(0));
    }
    return session;
  }

  /** Sends one text; hands back an answer for each statement that the server came to. */
  async query(text: Uint8Array | string): Promise<readonly Answer[]> {
    this.#send(0, Buffer.concat([Buffer.from([3]), Buffer.from(text as string, 'utf8')]));
    const answers: Answer[] = [];
    for (;;) {
      const { answer, hasMore } = await this.#result();
      answers.push(answer);
      if (!hasMore) return answers;
    }
  }

  close(): void {
    this.#socket.destroy();
  }

  async #result(): Promise<{ answer: Answer; hasMore: boolean }> {
    const first = await this.#packet();
    if (first[0] === 0xff) {
      const message = first.subarray(9).toString('latin1');
      return { answer: { errno: first.readUInt16LE(1), message, rows: [] }, hasMore: false };
    }
    if (first[0] === 0) {
      const status = first.readUInt16LE(1 + lenencLength(first, 1) + lenencLength(first, 2));
      const answer = { errno: 0, message: '', rows: [] };
      return { answer, hasMore: (status & MORE_RESULTS) !== 0 };
    }
    while (!isEof(await this.#packet()));
    const rows: (string | null)[][] = [];
    for (;;) {
      const row = await this.#packet();
      if (row[0] === 0xff) {
        const message = row.subarray(9).toString('latin1');
        return { answer: { errno: row.readUInt16LE(1), message, rows }, hasMore: false };
      }
      if (isEof(row)) {
        const hasMore = (row.readUInt16LE(3) & MORE_RESULTS) !== 0;
        return { answer: { errno: 0, message: '', rows }, hasMore };
      }
      rows.push(cells(row));
    }
  }

  #send(sequenceId: number, payload: Buffer): void {
    const header = Buffer.alloc(4);
    header.writeUIntLE(payload.length, 0, 3);
    header[3] = sequenceId;
    this.#socket.write(Buffer.concat([header, payload]));
  }

  async #packet(): Promise<Buffer> {
    const header = await this.#bytes(4);
    return this.#bytes(header.readUIntLE(0, 3));
  }

  async #bytes(count: number): Promise<Buffer> {
    while (this.#buffer.length < count) {
      const [chunk] = (await once(this.#socket, 'data')) as [Buffer];
      this.#buffer = this.#buffer.length === 0 ? chunk : Buffer.concat([this.#buffer, chunk]);
    }
    const taken = this.#buffer.subarray(0, count);
    this.#buffer = this.#buffer.subarray(count);
    return taken;
  }
}

function isEof(packet: Buffer): boolean {
  return packet[0] === 0xfe && packet.length < 9;
}

function lenencLength(packet: Buffer, at: number): number {
  const first = packet[at] ?? 0;
  return first <= 0xfb ? 1 : first === 0xfc ? 3 : first === 0xfd ? 4 : 9;
}

function cells(row: Buffer): (string | null)[] {
  const values: (string | null)[] = [];
  for (let at = 0; at < row.length; ) {
    const width = lenencLength(row, at);
    const length = width === 1 ? (row[at] ?? 0) : row.readUIntLE(at + 1, Math.min(width - 1, 6));
    const isNull = row[at] === 0xfb;
    at += width;
    values.push(isNull ? null : row.toString('latin1', at, at + length));
    at += isNull ? 0 : length;
  }
  return values;
}
