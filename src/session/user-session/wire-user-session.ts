/**
 * Runs statements of ours on the user's own session, on the wire: the marker and the first ones go
 * out in one write after whatever is under way; from the marker's answer on the stream is ours.
 *
 * Invariant: what belongs to the client reaches it untouched, before the marker's answer and after
 * `end`; nothing of our own answers does.
 */
import { assert } from '../../assert.js';
import type { ResponseTracker } from '../../relay/response-tracker.js';
import type { CommandSession, SessionCommand } from '../../steps/session/user-session.js';
import type { Capabilities } from '../../wire/capabilities.js';
import { encodeComQuery, encodeComStmtClose, encodeComStmtPrepare } from '../../wire/commands.js';
import { encodePacket, PacketAssembler } from '../../wire/framing.js';
import {
  prepareResultReader,
  queryResultReader,
  type Result,
  type ResultReader,
} from '../../wire/result-reader.js';
import { MarkerSeeker, markerText, newMarkerNonce } from './marker.js';

/** An answer to a statement of ours (a SHOW CREATE TABLE, mostly) may have so many bytes. */
const ANSWER_BYTES_MAX = 64 * 1024 * 1024;

export interface WireUserSessionOptions {
  readonly capabilities: Capabilities;
  readonly tracker: ResponseTracker;
  /**
   * A PREPARE of the client may be refused: one of ours fails right after the marker, so that a
   * pipelined EXECUTE of "the last prepared" (MariaDB) finds none and gets its 1243. It can't be
   * the marker: its error is not always the parser's (1461 where there are too many prepared
   * statements, 1820 where the password has expired), and then quotes no nonce.
   */
  readonly failsPrepare: boolean;
  readonly toServer: (bytes: Buffer) => void;
  readonly toClient: (bytes: Buffer) => void;
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
  /** Reads the answer to the PREPARE that fails, which is nobody's. */
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
      const readers = commands.flatMap((command) => readerOf(command, capabilities) ?? []);
      this.#run = { readers, results: [], resolve, reject };
      const frames = commands.map((command) => encodePacket(encode(command, capabilities), 0));
      this.#options.toServer(Buffer.concat([...this.#marker(), ...frames]));
      this.#settle();
    });
  }

  /** The server's next bytes. Throws where they are no answers to our statements. */
  feed(chunk: Buffer): void {
    let own: Buffer | null = chunk;
    if (this.#seeker !== null) {
      const found = this.#seeker.feed(chunk);
      this.#options.toClient(found.foreign);
      own = found.own;
      if (own === null) return;
      this.#seeker = null;
    }
    this.#assembler.push(own);
    this.#settle();
  }

  /** The connection ended: whoever waits for an answer gets `error`. */
  fail(error: Error): void {
    this.#failure = error;
    this.#run?.reject(error);
    this.#run = null;
  }

  /** Gives the stream back; returns what came after our last answer, which is the client's. */
  end(): Buffer {
    assert(this.#run === null, 'the stream goes back when our statements are answered');
    return this.#assembler.rest();
  }

  #marker(): Buffer[] {
    if (this.#markerSent) return [];
    this.#markerSent = true;
    const nonce = newMarkerNonce();
    this.#seeker = new MarkerSeeker(nonce, this.#options.tracker);
    const { capabilities, failsPrepare } = this.#options;
    const bytes = Buffer.from(markerText(nonce));
    const marker = encodePacket(encodeComQuery(bytes, capabilities), 0);
    if (!failsPrepare) return [marker];
    this.#failing = prepareResultReader(capabilities);
    return [marker, encodePacket(encodeComStmtPrepare(bytes), 0)];
  }

  #settle(): void {
    const run = this.#run;
    if (run === null || this.#seeker !== null) return;
    for (;;) {
      const reader = this.#failing ?? run.readers[run.results.length];
      if (reader === undefined) break;
      const packet = this.#assembler.next();
      if (packet === null) return;
      const result = reader.push(packet.payload);
      if (result === null) continue;
      if (this.#failing === null) run.results.push(result);
      this.#failing = null;
    }
    this.#run = null;
    run.resolve(run.results);
  }
}

function encode(command: SessionCommand, capabilities: Capabilities): Buffer {
  switch (command.kind) {
    case 'query':
      return encodeComQuery(command.text, capabilities);
    case 'prepare':
      return encodeComStmtPrepare(command.text);
    case 'close':
      return encodeComStmtClose(command.statementId);
    case 'packet':
      return command.payload;
  }
}

function readerOf(command: SessionCommand, capabilities: Capabilities): ResultReader | null {
  switch (command.kind) {
    case 'query':
      return queryResultReader(capabilities);
    case 'prepare':
      return prepareResultReader(capabilities);
    case 'close':
      return null;
    case 'packet':
      return command.isAnswered ? queryResultReader(capabilities) : null;
  }
}
