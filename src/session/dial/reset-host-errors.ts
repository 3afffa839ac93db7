/**
 * Keeps the server from blocking our address (error 1129). It counts broken handshakes by address,
 * those of all our clients together, and there are some that nobody can answer for a client: a
 * charset that no client may have, attributes that end too early, TLS that fails. A login that
 * succeeds sets that count back, so after such an end the service account logs in once.
 *
 * Invariant: one such login at a time for each address, however many clients go wrong; about one in
 * a second, or one for so many of them where they are a flood.
 */
import type { Log } from '../../log.js';
import { describeAddress } from '../../service/errors.js';
import type { ServerAddress } from '../../service/pool/pools.js';
import {
  ER_ACCESS_DENIED_ERROR,
  ER_ACCESS_DENIED_NO_PASSWORD_ERROR,
  ER_ACCOUNT_HAS_BEEN_LOCKED,
  ER_ACCOUNT_HAS_BEEN_LOCKED_MARIADB,
  ER_BAD_DB_ERROR,
  ER_CON_COUNT_ERROR,
  ER_DBACCESS_DENIED_ERROR,
  ER_HOST_IS_BLOCKED,
  ER_HOST_NOT_PRIVILEGED,
  ER_MUST_CHANGE_PASSWORD_LOGIN,
  ER_TOO_MANY_USER_CONNECTIONS,
  ER_USER_LIMIT_REACHED,
} from '../../wire/server-errors.js';

/** What is remembered of an address. */
interface Count {
  readonly address: ServerAddress;
  /** Logins that ended badly since the last one of ours began. */
  ends: number;
  isVisiting: boolean;
  hasFailed: boolean;
  timer: NodeJS.Timeout | null;
  /** `performance.now()` at which the next login of ours is due. */
  dueMs: number;
}

/** Servers block after 100 unless told otherwise, so nothing waits after so many. */
const ENDS_MAX = 10;
const EVERY_MS = 1_000;
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
    if (this.#isOver) return;
    const key = describeAddress(address);
    let count = this.#counts.get(key);
    if (count === undefined) {
      count = { address, ends: 0, isVisiting: false, hasFailed: false, timer: null, dueMs: 0 };
      this.#counts.set(key, count);
    }
    count.ends++;
    this.#schedule(count);
  }

  /** Nothing new begins. */
  stop(): void {
    this.#isOver = true;
    for (const { timer } of this.#counts.values()) if (timer !== null) clearTimeout(timer);
  }

  #schedule(count: Count): void {
    if (count.isVisiting || this.#isOver) return;
    const isFlood = count.ends >= ENDS_MAX && !count.hasFailed;
    const waitMs = isFlood ? 0 : count.dueMs - performance.now();
    if (waitMs <= 0) {
      if (count.timer !== null) clearTimeout(count.timer);
      count.timer = null;
      this.#options.background(this.#visit(count));
    } else if (count.timer === null) {
      const onDue = () => {
        count.timer = null;
        this.#schedule(count);
      };
      count.timer = setTimeout(onDue, Math.ceil(waitMs)).unref();
    }
  }

  async #visit(count: Count): Promise<void> {
    count.isVisiting = true;
    count.ends = 0;
    try {
      await this.#options.visit(count.address);
      count.hasFailed = false;
      count.dueMs = performance.now() + EVERY_MS;
    } catch (error) {
      const server = describeAddress(count.address);
      const text = 'the count of broken logins could not be set back; the server may block us';
      if (!count.hasFailed) this.#options.log.warn({ server, err: error }, text);
      count.hasFailed = true;
      count.dueMs = performance.now() + AFTER_FAILURE_MS;
    }
    count.isVisiting = false;
    if (count.ends > 0) this.#schedule(count);
  }
}

/**
 * Who may not come in, or not into that schema, and where nobody may: no broken handshakes. What
 * else a login may end in costs one login of ours.
 */
const UNCOUNTED: readonly number[] = [
  ER_CON_COUNT_ERROR,
  ER_DBACCESS_DENIED_ERROR,
  ER_ACCESS_DENIED_ERROR,
  ER_BAD_DB_ERROR,
  ER_HOST_IS_BLOCKED,
  ER_HOST_NOT_PRIVILEGED,
  ER_TOO_MANY_USER_CONNECTIONS,
  ER_USER_LIMIT_REACHED,
  ER_ACCESS_DENIED_NO_PASSWORD_ERROR,
  ER_MUST_CHANGE_PASSWORD_LOGIN,
  ER_ACCOUNT_HAS_BEEN_LOCKED,
  ER_ACCOUNT_HAS_BEEN_LOCKED_MARIADB,
];

/**
 * True where this packet of the server ends a login, and not in a way that it may count: by an OK,
 * or by an ERR. In the place of its greeting any error comes before the handshake.
 */
export function isUncounted(
  payload: Buffer,
  { isGreeted }: { readonly isGreeted: boolean },
): boolean {
  if (payload[0] === 0x00) return true;
  if (payload[0] !== 0xff || payload.length < 3) return false;
  return !isGreeted || UNCOUNTED.includes(payload.readUInt16LE(1));
}
