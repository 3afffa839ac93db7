/**
 * How long a session waits for a lock of InnoDB while the service renames in its stead, as MariaDB
 * makes a RENAME of a parent wait for its children: for as long as the session's own
 * `innodb_lock_wait_timeout` says, counted in tries of a second each.
 *
 * Invariant: the session itself has nothing to wait for then, as no lock of metadata is in the way.
 */
import { assert } from '../../assert.js';
import { MalformedPacketError } from '../../wire/packet-reader.js';
import type { ErrPacket } from '../../wire/response/err.js';
import type { Result } from '../../wire/result-reader.js';
import { ER_LOCK_WAIT_TIMEOUT } from '../../wire/server-errors.js';
import { signalSql } from '../session/signal.js';
import type { UserCommand } from '../session/user-session.js';

/** Of one try of the service. */
export const INNODB_WAIT_S = 1;

const TIMEOUT = {
  errno: ER_LOCK_WAIT_TIMEOUT,
  sqlState: 'HY000',
  message: 'Lock wait timeout exceeded; try restarting transaction',
};

interface Session {
  readonly groupId: string;
  /** In the user's session. */
  run(commands: readonly UserCommand[]): Promise<readonly Result[]>;
}

export class InnodbWaits {
  readonly #session: Session;
  #waitedS = 0;
  /** Of the session; null: it wasn't asked yet. */
  #limitS: number | null = null;

  constructor(session: Session) {
    this.#session = session;
  }

  /** Behind a try that has waited in vain; null: there may be another, else what ends it. */
  async another(): Promise<ErrPacket | null> {
    this.#waitedS += INNODB_WAIT_S;
    if (this.#limitS === null) {
      const asked = await this.#say(limitSql(this.#session.groupId));
      if (asked?.kind === 'err') return asked;
      this.#limitS = limitOf(asked);
    }
    if (this.#waitedS < this.#limitS) return null;
    const said = await this.#say(signalSql(TIMEOUT));
    assert(said?.kind === 'err', 'SIGNAL answers with an error');
    return said;
  }

  async #say(text: Buffer): Promise<Result | undefined> {
    const [said] = await this.#session.run([{ kind: 'query', text }]);
    return said;
  }
}

function limitSql(groupId: string): Buffer {
  const hint = '/*+ MAX_EXECUTION_TIME(0) */';
  const value = 'CAST(@@innodb_lock_wait_timeout AS BINARY)';
  return Buffer.from(`SELECT ${hint} /* undrop innodb-wait ${groupId} */ ${value} LIMIT 1`);
}

function limitOf(asked: Result | undefined): number {
  const value = asked?.kind === 'rows' ? asked.rows[0]?.[0]?.toString() : undefined;
  if (value === undefined || !/^\d+$/.test(value)) {
    throw new MalformedPacketError('The lock wait timeout of the session: no row.');
  }
  return Number(value);
}
