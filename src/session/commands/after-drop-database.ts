/**
 * Corrects the response to the statement after a DROP DATABASE, where undrop can't make the session
 * itself respond as after a native one: the note 1008 of IF EXISTS, which SIGNAL can raise only as
 * a warning, and ROW_COUNT(), after undrop's own statements.
 *
 * Invariant: only a row of SHOW WARNINGS or of SELECT ROW_COUNT() is changed, and only if undrop's
 * statements have caused it.
 */
import { encodePacket, HEADER_BYTES } from '../../wire/framing.js';
import { lenenc } from '../../wire/response.js';

/** A COM_QUERY with an empty set of query attributes, or with none, up to its first word. */
const START = '^\\x03(?:\\x00\\x01)?(?:\\s|/\\*[^!]*?\\*/)*';
const WARNINGS = new RegExp(`${START}show\\s+warnings\\b`, 'i');
const COUNT = new RegExp(`${START}select\\s+row_count\\s*\\(\\s*\\)[\\s\\w\`]*;?\\s*$`, 'i');

/** A row of SHOW WARNINGS up to its message: each value with its length before it. */
const RAISED = Buffer.from('\x07Warning\x041008');
const MEANT = Buffer.from('\x04Note\x041008');
/** ROW_COUNT() after a statement of undrop. */
const NO_ROWS = ['\x010', '\x02-1'];

/** Clients read warnings at once, if at all; only the next statement can read the count. */
const COMMANDS_MAX = 4;

export class AfterDropDatabase {
  readonly #affectedRows: number;
  #commands = 0;
  #correct: ((payload: Buffer) => Buffer) | null = null;

  /** `affectedRows`: from the response to the DROP DATABASE. */
  constructor(affectedRows: number) {
    this.#affectedRows = affectedRows;
  }

  /** Takes bytes of the client; `isNext`: the response to them is the next. */
  onCommand(chunk: Buffer, isNext: boolean): void {
    this.#correct = null;
    if (++this.#commands > COMMANDS_MAX || !isNext || chunk.length <= HEADER_BYTES) return;
    // Sequence id 0, and a single packet.
    const isOne = chunk.readUInt32LE(0) + HEADER_BYTES === chunk.length;
    const text = isOne ? chunk.toString('latin1', HEADER_BYTES) : '';
    if (WARNINGS.test(text)) this.#correct = asNote;
    else if (this.#commands === 1 && COUNT.test(text)) {
      const count = lenenc(Buffer.from(String(this.#affectedRows)));
      this.#correct = (payload) => (NO_ROWS.includes(payload.toString('latin1')) ? count : payload);
    }
  }

  /** The bytes for the client. A response in several chunks stays unchanged. */
  corrected(chunk: Buffer): Buffer {
    const correct = this.#correct;
    if (correct === null) return chunk;
    this.#correct = null;
    const packets: Buffer[] = [];
    let at = 0;
    while (at + HEADER_BYTES <= chunk.length) {
      const end = at + HEADER_BYTES + chunk.readUIntLE(at, 3);
      if (end > chunk.length) break;
      const payload = chunk.subarray(at + HEADER_BYTES, end);
      packets.push(encodePacket(correct(payload), chunk[at + 3] ?? 0));
      at = end;
    }
    return Buffer.concat([...packets, chunk.subarray(at)]);
  }
}

function asNote(payload: Buffer): Buffer {
  const message = payload.subarray(RAISED.length);
  const isRaised = payload.indexOf(RAISED) === 0 && message[0] === message.length - 1;
  return isRaised ? Buffer.concat([MEANT, message]) : payload;
}
