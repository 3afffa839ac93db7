/**
 * Keeps the server from blocking our address (error 1129). It counts broken handshakes by address,
 * those of all our clients together, and there are some that nobody can answer for a client: a
 * charset that no client may have, attributes that end too early, TLS that fails. A login that
 * succeeds sets that count back, so after such an end the service account logs in once.
 *
 * Invariant: one such login at a time for each address, and one for all that go wrong meanwhile.
 * There is no pause between two in a flood, because some servers block after 20 broken ones.
 */
import type { Log } from '../../log.js';
import { describeAddress } from '../../service/errors.js';
import type { ServerAddress } from '../../service/pool/pools.js';
import {
  ER_ACCESS_DENIED_ERROR,
  ER_ACCESS_DENIED_NO_PASSWORD_ERROR,
  ER_BAD_DB_ERROR,
  ER_CON_COUNT_ERROR,
  ER_DBACCESS_DENIED_ERROR,
  ER_HOST_IS_BLOCKED,
} from '../../wire/server-errors.js';

/** What is remembered of an address. */
interface Count {
  readonly address: ServerAddress;
  /** A login ended badly since the last one of ours began. */
  isDue: boolean;
  isVisiting: boolean;
  /** `performance.now()` before which no login of ours begins. */
  notBeforeMs: number;
}

/** An account that isn't let in has nothing to set back. */
const AFTER_FAILURE_MS = 60_000;

export interface HostErrorResetOptions {
  /** The service account logs in at that address on a new connection, and leaves. */
  visit(address: ServerAddress): Promise<void>;
  /** Work that goes on; a shutdown waits for it. */
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
      await this.#visit(count);
    }
    count.isVisiting = false;
  }

  async #visit(count: Count): Promise<void> {
    try {
      await this.#options.visit(count.address);
    } catch (error) {
      const server = describeAddress(count.address);
      const text = 'the count of broken logins could not be set back; the server may block us';
      this.#options.log.warn({ server, err: error }, text);
      count.notBeforeMs = performance.now() + AFTER_FAILURE_MS;
    }
  }
}

/**
 * The usual refusals of a login: the server doesn't count them as broken handshakes. Any other end
 * costs one login of ours.
 */
const UNCOUNTED: readonly number[] = [
  ER_CON_COUNT_ERROR,
  ER_DBACCESS_DENIED_ERROR,
  ER_ACCESS_DENIED_ERROR,
  ER_BAD_DB_ERROR,
  ER_HOST_IS_BLOCKED,
  ER_ACCESS_DENIED_NO_PASSWORD_ERROR,
];

/**
 * True if this packet of the server ends a login, and not in a way that it may count: by an OK, or
 * by such an ERR. In the place of its greeting any error comes before the handshake.
 */
export function isUncounted(
  payload: Buffer,
  { isGreeted }: { readonly isGreeted: boolean },
): boolean {
  if (payload[0] === 0x00) return true;
  if (payload[0] !== 0xff || payload.length < 3) return false;
  return !isGreeted || UNCOUNTED.includes(payload.readUInt16LE(1));
}
