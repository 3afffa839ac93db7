/**
 * Tells who uses a held table where it is (UNDROP_NOTE): the native text of ERR 1146 ends with its
 * undo. The server gives this error only to who has a privilege on that name; others get 1142.
 *
 * Invariant: errno, SQLSTATE and the native text stay. A name that isn't known gets no note, so
 * the names may be late, and are bounded.
 */
import type { AuditEvent } from '../../audit.js';
import { quotedName } from '../../held/used-while-held.js';
import type { HeldName } from '../../ledger/overview.js';
import { untilText, writtenPlainly } from './undo-note.js';

/** Clients keep 511 bytes of a text (MYSQL_ERRMSG_SIZE); before it are errno and SQLSTATE. */
const ERR_BYTES_MAX = 9 + 511;
/** Twice those that the control process tells: the drops of this one come in between. */
const NAMES_MAX = 1_000;

export class HeldNames {
  #all = new Map<string, HeldName>();

  /** All that is known; of one name the newest first. */
  replace(all: readonly HeldName[]): void {
    this.#all = new Map(all.toReversed().map((one) => [`${one.schema}.${one.table}`, one]));
  }

  /** They were held a moment ago. */
  add(held: readonly AuditEvent<'held'>[]): void {
    for (const { id, schema, table, until } of held) {
      if (schema !== null && table !== null)
        this.#all.set(`${schema}.${table}`, { id, schema, table, until });
      const [oldest = ''] = this.#all.keys();
      if (this.#all.size > NAMES_MAX) this.#all.delete(oldest);
    }
  }

  /** The payload of an ERR 1146 with the note; null: its table isn't held, or it has no room. */
  noteOn(payload: Buffer): Buffer | null {
    const held = this.#all.get(quotedName(payload) ?? '');
    if (held === undefined) return null;
    const { id, schema, table, until } = held;
    const due = until === null ? null : new Date(until);
    if (due !== null && due.getTime() <= Date.now()) return null;
    const name = writtenPlainly([schema, table]);
    // In any charset of the client.
    const target = /^[\x20-\x7e]+$/.test(name) ? name : `'${id}'`;
    const time = due === null ? ', pinned' : ` ${untilText(due)}`;
    const noted = Buffer.concat([
      payload,
      Buffer.from(` (held by undrop${time}: UNDROP TABLE ${target})`),
    ]);
    return noted.length > ERR_BYTES_MAX ? null : noted;
  }
}
