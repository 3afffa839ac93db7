/**
 * What a drop costs, for a tap on the wire: it follows statements and answers on all connections of
 * a proxy, and counts how many round trips there are one after another.
 *
 * Invariant: an answer on any connection counts as a reason for what is sent after it, so there are
 * never more round trips than it says.
 */
import * as com from '../../src/wire/commands.js';
import type { TapEvent } from './wire-tap.js';

/** From the client's statement to its answer. */
export interface Cost {
  /** One after another: each sent when the answer to another was there. */
  readonly roundTrips: number;
  /** Statements that change the schema. */
  readonly changes: readonly string[];
  /** Statements that write rows, each of them a transaction. */
  readonly writes: readonly string[];
  readonly statements: number;
}

export class DropMeter {
  #isOn = false;
  /** How many answers, one after another, are behind what is sent now. */
  #depth = 0;
  #deepest = 0;
  /** Of each connection: the depths of what has no answer yet. */
  readonly #open = new Map<number, number[]>();
  readonly #commands: Buffer[] = [];

  see({ moment, connection, command }: TapEvent): boolean {
    if (!this.#isOn || isBehindTheAnswer(command)) return true;
    const open = this.#open.get(connection) ?? [];
    this.#open.set(connection, open);
    if (moment === 'before statement') {
      this.#commands.push(command);
      // It has no answer.
      if (command[0] === com.COM_STMT_CLOSE) return true;
      open.push(this.#depth + 1);
      this.#deepest = Math.max(this.#deepest, this.#depth + 1);
    }
    if (moment === 'after answer') this.#depth = Math.max(this.#depth, open.shift() ?? 0);
    return true;
  }

  start(): void {
    this.#isOn = true;
    [this.#depth, this.#deepest] = [0, 0];
    this.#open.clear();
    this.#commands.length = 0;
  }

  stop(): Cost {
    this.#isOn = false;
    const texts = this.#commands
      .filter((command) => command[0] === com.COM_QUERY)
      .flatMap((command) => command.toString('latin1', 1).split(/;\n|^/m))
      .map((text) => text.trim());
    return {
      roundTrips: this.#deepest,
      changes: texts.filter((text) => /^(ALTER|CREATE|DROP|RENAME|TRUNCATE)\b/.test(text)),
      writes: texts.filter((text) => /^(INSERT|UPDATE|DELETE|REPLACE|COMMIT)\b/.test(text)),
      statements: this.#commands.length,
    };
  }
}

/**
 * The outcome is written when the client has its answer, or about to; and nobody waits for a look
 * whether another statement waits, unless it does.
 */
function isBehindTheAnswer(command: Buffer): boolean {
  return /undrop (outcome|define|forget|waits|history)/.test(command.toString('latin1'));
}
