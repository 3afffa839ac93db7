/**
 * One statement packet that is too long to be held whole: it goes on as it comes, in the client's
 * own frames, as far as the statement stream lets it go.
 *
 * Where a statement of ours begins in it, there are three ways. If nothing of the packet went on
 * yet, nothing does (`withheld`). If something did, the rest of the announced length is filled with
 * the beginning of a quoted name that never ends, and blanks (`cut`): the server runs what came
 * before, and says a syntax error at that place, which the session turns into its own. And where no
 * statement begins, as how the text is read is not known, the rest never goes on (`stopped`): the
 * server runs nothing of a packet that it hasn't whole, so the session ends there.
 *
 * Invariant: at most `heldBytesMax`, a chunk and a token are kept.
 */
import { randomBytes } from 'node:crypto';
import { assert } from '../assert.js';
import type { Finding, StatementStream } from '../sql/statement-stream.js';
import { HEADER_BYTES, PAYLOAD_BYTES_MAX } from '../wire/framing.js';

const FRAME_BYTES_MAX = HEADER_BYTES + PAYLOAD_BYTES_MAX;
/** As long as the shortest drop that there is, with the quote before it. */
const NONCE_BYTES = 11;
const BLANK = 0x20;

export type LongOutcome =
  | { readonly kind: 'passed' }
  | { readonly kind: 'withheld'; readonly finding: Finding }
  | { readonly kind: 'cut'; readonly finding: Finding; readonly nonce: string }
  | { readonly kind: 'stopped'; readonly finding: Unclear };

type Unclear = Extract<Finding, { kind: 'unclear' }>;

export interface LongStatementOptions {
  readonly command: number;
  /** Where the text begins in the packet's payload. */
  readonly textOffset: number;
  readonly isOneOfSeveral: boolean;
  /** So much of the payload is there before any of it goes on. */
  readonly heldBytesMax: number;
  readonly statements: StatementStream;
  /** It is refused as it is, and only read to its end. */
  readonly refusal: Finding | null;
  readonly forward: (bytes: Buffer) => void;
}

export class LongStatement {
  readonly #options: LongStatementOptions;
  /** Frames that came and did not go on; they begin at `#heldFrom`. */
  #held: Buffer[] = [];
  #heldFrom = 0;
  /** Counted in frames and in payload, from the packet's first byte. */
  #arrived = 0;
  #payload = 0;

  #header = 0;
  #headerBytes = 0;
  #left = 0;
  #isLastPart = false;
  #sequenceId = 0;
  #isDone = false;
  #outcome: LongOutcome = { kind: 'passed' };
  /** What stands for the text from `#cutAt` on, in the payload. */
  #nonce = Buffer.alloc(0);
  #cutAt = 0;

  constructor(options: LongStatementOptions) {
    this.#options = options;
    if (options.refusal !== null) this.#outcome = { kind: 'withheld', finding: options.refusal };
  }

  get command(): number {
    return this.#options.command;
  }

  /** Whether other statements may stand in the text. */
  get isOneOfSeveral(): boolean {
    return this.#options.isOneOfSeveral;
  }

  get outcome(): LongOutcome {
    return this.#outcome;
  }

  /** The whole packet has come. */
  get isDone(): boolean {
    return this.#isDone;
  }

  /** Of the packet's last part. */
  get sequenceId(): number {
    return this.#sequenceId;
  }

  /** Takes what of `chunk` belongs to the packet, from `at` on; hands back where that ends. */
  feed(chunk: Buffer, from: number): number {
    let at = from;
    while (at < chunk.length && !this.#isDone) {
      if (this.#left === 0) {
        this.#takeHeaderByte(chunk[at] ?? 0);
        at++;
        continue;
      }
      const end = Math.min(at + this.#left, chunk.length);
      this.#left -= end - at;
      this.#takePayload(chunk.subarray(at, end));
      at = end;
      if (this.#left === 0 && this.#isLastPart) this.#finish();
    }
    this.#arrived += at - from;
    this.#held.push(chunk.subarray(from, at));
    this.#letGo();
    this.#keep();
    return at;
  }

  #takeHeaderByte(byte: number): void {
    this.#header |= byte << (8 * this.#headerBytes);
    this.#headerBytes++;
    if (this.#headerBytes < HEADER_BYTES) return;
    this.#left = this.#header & PAYLOAD_BYTES_MAX;
    this.#sequenceId = byte;
    this.#isLastPart = this.#left < PAYLOAD_BYTES_MAX;
    this.#header = 0;
    this.#headerBytes = 0;
    if (this.#left === 0) this.#finish();
  }

  #takePayload(payload: Buffer): void {
    const { statements, textOffset } = this.#options;
    const skipped = Math.min(payload.length, Math.max(0, textOffset - this.#payload));
    this.#payload += payload.length;
    if (this.#outcome.kind !== 'passed') return;
    this.#settle(statements.push(payload.subarray(skipped)));
  }

  #finish(): void {
    this.#isDone = true;
    const { statements } = this.#options;
    if (this.#outcome.kind === 'passed') this.#settle(statements.finish());
  }

  #settle(finding: Finding | null): void {
    if (finding === null) return;
    if (this.#heldFrom === 0) {
      this.#outcome = { kind: 'withheld', finding };
    } else if (finding.kind === 'unclear') {
      this.#outcome = { kind: 'stopped', finding };
    } else {
      const nonce = newNonce();
      this.#outcome = { kind: 'cut', finding, nonce };
      this.#nonce = Buffer.from(`\`${nonce}`);
      this.#cutAt = this.#options.textOffset + finding.at;
    }
  }

  /**
   * What is left of the chunk, the last that is held: it is valid during the call only. Each that
   * is kept is longer than what comes behind it, so that a text that comes byte by byte is in few.
   */
  #keep(): void {
    const left = this.#held.pop();
    if (left === undefined) return;
    let last = Buffer.from(left);
    for (;;) {
      const before = this.#held.at(-1);
      if (before === undefined || before.length > last.length) break;
      this.#held.pop();
      last = Buffer.concat([before, last]);
    }
    this.#held.push(last);
  }

  #letGo(): void {
    switch (this.#outcome.kind) {
      case 'passed':
        if (this.#payload < this.#options.heldBytesMax && !this.#isDone) return;
        this.#forward(this.#isDone ? this.#arrived : this.#framesBefore(this.#safeBytes));
        return;
      case 'cut': {
        this.#forward(this.#framesBefore(this.#cutAt));
        const rest = Buffer.concat(this.#held);
        this.#fill(rest, this.#heldFrom);
        this.#held = [rest];
        this.#forward(this.#arrived);
        return;
      }
      case 'withheld':
      case 'stopped':
        this.#held = [];
        return;
    }
  }

  get #safeBytes(): number {
    const { statements, textOffset } = this.#options;
    return textOffset + statements.safe;
  }

  /** Sends the frames up to `end` on, without a copy of them. */
  #forward(end: number): void {
    while (this.#heldFrom < end) {
      const first = this.#held.shift();
      assert(first !== undefined, 'what goes on has come');
      const part = first.subarray(0, end - this.#heldFrom);
      this.#options.forward(part);
      this.#heldFrom += part.length;
      if (part.length < first.length) this.#held.unshift(first.subarray(part.length));
    }
  }

  /** The frames that hold the first `payload` bytes: every part but the last is full. */
  #framesBefore(payload: number): number {
    if (payload === 0) return 0;
    const parts = Math.floor((payload - 1) / PAYLOAD_BYTES_MAX) + 1;
    return payload + parts * HEADER_BYTES;
  }

  /** Writes over the payload in `frames`, which begin at `frameAt` of the packet. */
  #fill(frames: Buffer, frameAt: number): void {
    for (let at = 0; at < frames.length; ) {
      const [part, within] = partOf(frameAt + at);
      if (within < HEADER_BYTES) {
        at += HEADER_BYTES - within;
        continue;
      }
      const count = Math.min(FRAME_BYTES_MAX - within, frames.length - at);
      const offset = part * PAYLOAD_BYTES_MAX + within - HEADER_BYTES - this.#cutAt;
      frames.fill(BLANK, at, at + count);
      if (offset < this.#nonce.length) this.#nonce.copy(frames, at, offset, offset + count);
      at += count;
    }
  }
}

function partOf(frameAt: number): readonly [part: number, within: number] {
  return [Math.floor(frameAt / FRAME_BYTES_MAX), frameAt % FRAME_BYTES_MAX];
}

/** Letters and digits, never used twice. */
function newNonce(): string {
  return `u${BigInt(`0x${randomBytes(8).toString('hex')}`)
    .toString(36)
    .padStart(13, '0')}`.slice(0, NONCE_BYTES);
}
