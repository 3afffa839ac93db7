/**
 * The service's part of a TRUNCATE: makes the twin, renames, frees what is held of its keys.
 *
 * Invariant: where the table was altered between the look and the RENAME, `run` says `again`, and
 * makes the next twin after what is held then; so no row is lost, and no ALTER, but the first of
 * two that came in two such moments, which `altered` tells.
 */
import { assert } from '../assert.js';
import { UndropError } from '../errors.js';
import type { ForeignKey } from '../ledger/detached.js';
import { createSchema } from '../ledger/tables.js';
import type { IntentTable } from '../ledger/write.js';
import { detach } from '../moves/detach.js';
import { leadKeysBack } from '../moves/led-keys.js';
import { leaveTwin, leaveTwinsOf, makeTwin, readLikeness, type Twin } from '../moves/make-twin.js';
import { keepLonger } from '../moves/renew.js';
import { hasOthers } from '../moves/spare-schema.js';
import { formatHoldName } from '../names/hold-name.js';
import { recycleSchemaFor, spareSchemasFor } from '../names/recycle-schema.js';
import { isKilled } from '../service/kill-after.js';
import { Patience } from '../service/patience.js';
import { isServerError, type ServiceConnection, type ServicePool } from '../service/pools.js';
import type { HeldTable } from '../steps/refuse.js';
import {
  ABSENT_TABLE,
  ABSENT_TO_RENAME,
  ER_FK_DUP_NAME,
  ER_TABLE_EXISTS_ERROR,
  ER_TRG_IN_WRONG_SCHEMA,
} from '../wire/server-errors.js';
import { innermost } from './innermost.js';
import { INNODB_WAIT_S } from './innodb-waits.js';
import { renameInStead } from './rename-in-stead.js';
import type { UserFacts } from './request.js';

export type Swapped =
  | { readonly kind: 'held' }
  /** Somebody has it locked (InnoDB: `isTimeout`), or it was changed or gone meanwhile. */
  | { readonly kind: 'again'; readonly isTimeout?: true }
  /** Why it can't have a twin, as it follows "by TRUNCATE". */
  | { readonly kind: 'none'; readonly why: string }
  /** `unserved`: the service failed before the RENAME. */
  | { readonly kind: 'denied' | 'failed' | 'unserved'; readonly cause: string };

const AGAIN: Swapped = { kind: 'again' };
/**
 * Where it is to be held there is a foreign key of that name: another's who is about to lose it. Of
 * MySQL, and of MariaDB and 5.6, which say it of a table; but hold names are never there twice.
 */
const KEY_NAME_TAKEN: readonly (number | undefined)[] = [ER_FK_DUP_NAME, ER_TABLE_EXISTS_ERROR];

export interface SwapOptions {
  readonly pool: ServicePool;
  /** Of the user's session. */
  readonly session: Pick<UserFacts, 'logged' | 'checksForeignKeys'>;
  /** The start of a sentence. */
  readonly tables: string;
}

interface When {
  /** The server's clock. */
  readonly utcNow: Date;
  readonly killAfterMs: number;
}

export class TwinSwap {
  readonly #options: SwapOptions;
  #held: readonly HeldTable[] = [];
  #altered: readonly HeldTable[] = [];
  #twin: Twin | null = null;
  #made = 0;
  /** Something broke while a twin was made, or left: its keys may be there. */
  #isLeft = false;
  /** So often another's foreign key of that name was where it was to be held. */
  #taken = 0;
  /** What has the name since the last RENAME, if nobody has altered it. */
  #live: Twin | null = null;
  /** That the last of what is held had, which the next twin gets. */
  #keys: readonly ForeignKey[] | null = null;

  constructor(options: SwapOptions) {
    this.#options = options;
  }

  /** What came under hold names, the oldest first. */
  get held(): readonly HeldTable[] {
    return this.#held;
  }

  /**
   * Of these, those that somebody had altered a moment before. What takes the name then is made
   * after the one before, and only in the next try after this one.
   */
  get altered(): readonly HeldTable[] {
    return this.#altered;
  }

  /** Rejects with UNDROP_FATE_UNKNOWN where nobody knows whether the RENAME happened. */
  async run(seen: IntentTable, { utcNow, killAfterMs }: When): Promise<Swapped> {
    try {
      const why = await this.#haveTwin(seen, utcNow);
      if (why !== null) return why === 'missing' ? AGAIN : { kind: 'none', why };
      return await this.#rename(seen, { utcNow, killAfterMs });
    } catch (error) {
      if (isKilled(error) || isServerError(error, ...ABSENT_TABLE, ...ABSENT_TO_RENAME))
        return AGAIN;
      const isUnknown = error instanceof UndropError && error.code === 'UNDROP_FATE_UNKNOWN';
      if (isUnknown || !(isServerError(error) || error instanceof UndropError)) throw error;
      const kind = isServerError(error) ? 'failed' : 'unserved';
      return { kind, cause: innermost(error) };
    }
  }

  /** What is held is held for so long at least: the statement has failed. */
  async keep(holdMs: number): Promise<void> {
    const { pool, session } = this.#options;
    const altered = this.#altered.map(({ id }) => id);
    this.#held = await keepLonger(pool, this.#held, { holdMs, logged: session.logged });
    this.#altered = this.#held.filter(({ id }) => altered.includes(id));
  }

  /** What was made and isn't needed. */
  async leave(): Promise<void> {
    const twin = this.#twin;
    if (twin === null) return;
    this.#twin = null;
    this.#isLeft = true;
    await leaveTwin(this.#options.pool, twin);
    this.#isLeft = false;
  }

  /** The same, before the intent `id` is forgotten, of what somebody who broke off has left. */
  async leaveAll(id: string): Promise<void> {
    if (!this.#isLeft) return;
    const { pool, session } = this.#options;
    await leaveTwinsOf(pool, id, { logged: session.logged });
    this.#isLeft = false;
  }

  /** Null: it is there, and like the table; else why it can't be. */
  async #haveTwin({ schema, table, id }: IntentTable, utcNow: Date): Promise<string | null> {
    const { pool, session } = this.#options;
    const { logged } = session;
    const last = this.#held.at(-1);
    const source =
      last === undefined ? { schema, table } : { schema: last.holdSchema, table: last.holdName };
    if (this.#twin !== null) {
      const { likeness } = this.#twin;
      const looks = [
        readLikeness(pool, { id, ...source }, { off: this.#keys }),
        readLikeness(pool, this.#twin),
      ];
      // Somebody else's recovery may have taken the keys off the twin.
      if ((await Promise.all(looks)).every((look) => look?.likeness === likeness)) return null;
      await this.leave();
    }
    const before = this.#made++;
    const keys = this.#keys;
    this.#isLeft = true;
    const made = await makeTwin(pool, { id, before, source, keys, logged, utcNow });
    this.#isLeft = false;
    if ('none' in made) return made.none;
    this.#twin = made;
    return null;
  }

  async #rename(seen: IntentTable, { utcNow, killAfterMs }: When): Promise<Swapped> {
    const { pool, session, tables: said } = this.#options;
    const { id, schema, table, holdUntil } = seen;
    const twin = this.#twin;
    assert(holdUntil !== null && twin !== null, 'it has an intent and a twin');
    const holdName = formatHoldName({ state: 'HOLD', id, due: holdUntil });
    const holdSchema = await this.#place(id, twin);
    const tables = [{ id, schema, table, holdName, holdSchema, twin }];
    const held = { id, schema: holdSchema, table: holdName };
    const before = this.#live ?? twin;
    const was = { schema, table, utcNow, keys: before.keysOfSource };
    const look = (connection: ServiceConnection) =>
      tolerantly(() => readLikeness(connection, held, { was }));
    let now: Awaited<ReturnType<typeof readLikeness>> = null;
    const whileOwned = async (connection: ServiceConnection) => {
      now = await look(connection);
    };
    const waits = { killAfterMs, innodbWaitS: INNODB_WAIT_S };
    const rename = { tables, ...session, ...waits, whileOwned };
    const outcome = await renameInStead(pool, rename).catch((error: unknown) => {
      const params = { tables: said, cause: innermost(error) };
      throw new UndropError('UNDROP_FATE_UNKNOWN', params, error);
    });
    switch (outcome.kind) {
      case 'busy':
        return { ...outcome, kind: 'again' };
      case 'gone':
        // The table, or the twin.
        await this.leave();
        return AGAIN;
      case 'failed':
        // It got a trigger since it was looked at, which can't go to another schema with it.
        if (outcome.errno === ER_TRG_IN_WRONG_SCHEMA) return AGAIN;
        if (twin.keys.length === 0 || !KEY_NAME_TAKEN.includes(outcome.errno)) return outcome;
        this.#taken++;
        return AGAIN;
      case 'denied':
        return outcome;
      case 'renamed':
        break;
    }
    this.#live = twin;
    this.#twin = null;
    now ??= await look(pool);
    this.#keys = now?.keys ?? null;
    const failure = await this.#free(seen, { holdSchema, holdName });
    const last = { id, holdSchema, holdName, relocated: failure === null, failure };
    this.#held = [...this.#held, last];
    if (twin.keys.length > 0) {
      await tolerantly(() => leadKeysBack(pool, { id, schema, table }));
    }
    if (now === null || now.likeness === before.likeness) return { kind: 'held' };
    this.#altered = [...this.#altered, last];
    return AGAIN;
  }

  /** Where it is held: in another place each time that the names of its keys were taken in one. */
  async #place(id: string, twin: Twin): Promise<string> {
    const { pool, session } = this.#options;
    const first = recycleSchemaFor(session.logged);
    const spares = spareSchemasFor(session.logged).filter((schema) => schema !== twin.schema);
    const schema = [first, ...spares][this.#taken] ?? first;
    if (schema === first) return schema;
    if (!(await hasOthers(pool, schema, id))) {
      await createSchema(pool, schema);
      return schema;
    }
    this.#taken++;
    return this.#place(id, twin);
  }

  /** Takes off it what binds others; null, or why that is to be done later. */
  async #free(
    { id, table }: IntentTable,
    { holdSchema, holdName }: Pick<HeldTable, 'holdSchema' | 'holdName'>,
  ): Promise<string | null> {
    const { pool, session } = this.#options;
    const { logged } = session;
    const held = { id, fromSchema: holdSchema, holdName, table };
    const [failure = null] = await detach(pool, [held], { logged, patience: new Patience() });
    return failure;
  }
}

/** What becomes of the table doesn't hang on it; null where the server or the service fails. */
export async function tolerantly<T>(work: () => Promise<T>): Promise<T | null> {
  try {
    return await work();
  } catch (error) {
    if (!isServerError(error) && !(error instanceof UndropError)) throw error;
    return null;
  }
}
