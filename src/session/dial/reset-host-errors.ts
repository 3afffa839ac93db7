/**
 * Keeps the server from blocking the proxy's address (error 1129). It counts broken handshakes by
 * address, those of all clients together, and some can't be prevented: a charset that no client may
 * have, attributes that end too early, TLS that fails. A successful login resets the count, so
 * after such an end the service account logs in once.
 *
 * Invariant: one such login at a time for each address, and one for all broken handshakes
 * meanwhile. There is no pause between two in a flood, because some servers block after 20 broken
 * ones.
 */

import { describeAddress, type ServerAddress } from '../../connections/server-address.js';
import type { Log } from '../../log.js';
import * as ER from '../../wire/server-errors.js';

/** The state of one address. */
interface Count {
  readonly address: ServerAddress;
  /** A login broke since the last login of the service account began. */
  isDue: boolean;
  isVisiting: boolean;
  /** `performance.now()` before which no such login begins. */
  notBeforeMs: number;
}

/** An account that can't log in can't reset the count. */
const AFTER_FAILURE_MS = 60_000;

export interface HostErrorResetOptions {
  /** The service account logs in at that address on a new connection, and disconnects. */
  visit(address: ServerAddress): Promise<void>;
  /** Registers work that a shutdown waits for. */
  background(work: Promise<void>): void;
  readonly log: Log;
}

export class HostErrorReset {
  readonly #options: HostErrorResetOptions;
  readonly #counts = new Map<string, Count>();
  #isOver = false;

  constructor(options: HostErrorResetOptions) {
    this.#options = options;
  }

  /** A login at `address` ended in a way that the server may count. */
  onBrokenLogin(address: ServerAddress): void {
    const key = describeAddress(address);
    let count = this.#counts.get(key);
    if (count === undefined) {
      count = { address, isDue: false, isVisiting: false, notBeforeMs: 0 };
      this.#counts.set(key, count);
    }
    count.isDue = true;
    if (count.isVisiting || performance.now() < count.notBeforeMs) return;
    this.#options.background(this.#visitWhileDue(count));
  }

  /** Nothing new begins. */
  stop(): void {
    this.#isOver = true;
  }

  async #visitWhileDue(count: Count): Promise<void> {
    count.isVisiting = true;
    while (count.isDue && !this.#isOver && performance.now() >= count.notBeforeMs) {
      count.isDue = false;
      try {
        await this.#options.visit(count.address);
      } catch (error) {
        const server = describeAddress(count.address);
        const text = 'the count of broken logins could not be set back; the server may block us';
        this.#options.log.warn({ server, err: error }, text);
        count.notBeforeMs = performance.now() + AFTER_FAILURE_MS;
      }
    }
    count.isVisiting = false;
  }
}

/**
 * The usual refusals of a login: the server doesn't count them as broken handshakes. Any other end
 * costs one login of the service account.
 */
const UNCOUNTED: readonly number[] = [
  ER.CON_COUNT_ERROR,
  ER.DBACCESS_DENIED_ERROR,
  ER.ACCESS_DENIED_ERROR,
  ER.BAD_DB_ERROR,
  ER.HOST_IS_BLOCKED,
  ER.ACCESS_DENIED_NO_PASSWORD_ERROR,
];

/**
 * True if this packet of the server ends a login in a way that it doesn't count: by an OK, or by
 * such an ERR. An error in place of the greeting precedes the handshake.
 */
export function isUncounted(
  payload: Buffer,
  { isGreeted }: { readonly isGreeted: boolean },
): boolean {
  if (payload[0] === 0x00) return true;
  if (payload[0] !== 0xff || payload.length < 3) return false;
  return !isGreeted || UNCOUNTED.includes(payload.readUInt16LE(1));
}
