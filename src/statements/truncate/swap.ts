/**
 * The service's part of a TRUNCATE: makes the ghost, renames, frees what is held of its keys.
 *
 * Invariant: where the table was altered between the look and the RENAME, `run` says `again`, and
 * makes the next ghost after what is held then; so no row is lost, and no ALTER, but the first of
 * two that came in two such moments, which `altered` tells.
 */
import { assert } from '../../assert.js';
import { UndropError } from '../../errors.js';
import {
  type GhostTable,
  leaveGhost,
  leaveGhostsOf,
  makeGhost,
  readFingerprint,
} from '../../held/empty-copy.js';
import { detach } from '../../held/foreign-keys/detach.js';
import { repointForeignKeys } from '../../held/foreign-keys/repointed.js';
import { keepLonger } from '../../held/relocate/due-times.js';
import { hasOthers } from '../../held/relocate/spare-schema.js';
import type { ForeignKey } from '../../ledger/detached/detached.js';
import { createSchema } from '../../ledger/tables.js';
import type { IntentTable } from '../../ledger/write.js';
import { formatHoldName } from '../../names/hold-name.js';
import { recycleSchemaFor, spareSchemasFor } from '../../names/recycle-schema.js';
import { LockWaitBudget } from '../../service/pool/lock-wait-budget.js';
import {
  isServerError,
  type ServiceConnection,
  type ServicePool,
} from '../../service/pool/pools.js';
import { isKilled } from '../../service/pool/statement-timeout.js';
import { rootCause } from '../../steps/refusals/root-cause.js';
import type { HeldTable } from '../../steps/refuse.js';
import { INNODB_WAIT_S } from '../../steps/rename/innodb-waits.js';
import { renameByService } from '../../steps/rename/rename-by-service.js';
import type { UserFacts } from '../../steps/request.js';
import {
  ABSENT_TABLE,
  ABSENT_TO_RENAME,
  ER_FK_DUP_NAME,
  ER_TABLE_EXISTS_ERROR,
  ER_TRG_IN_WRONG_SCHEMA,
} from '../../wire/server-errors.js';

export type Swapped =
  | { readonly kind: 'held' }
  /** Somebody has it locked (InnoDB: `isTimeout`), or it was changed or gone meanwhile. */
  | { readonly kind: 'again'; readonly isTimeout?: true }
  /** Why it can't have a ghost, as it follows "by TRUNCATE". */
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

export class GhostSwap {
  readonly #options: SwapOptions;
  #held: readonly HeldTable[] = [];
  #altered: readonly HeldTable[] = [];
  #ghost: GhostTable | null = null;
  #made = 0;
  /** Something broke while a ghost was made, or left: its keys may be there. */
  #isLeft = false;
  /** So often another's foreign key of that name was where it was to be held. */
  #taken = 0;
  /** What has the name since the last RENAME, if nobody has altered it. */
  #live: GhostTable | null = null;
  /** That the last of what is held had, which the next ghost gets. */
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
      return { kind, cause: rootCause(error) };
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
    const ghost = this.#ghost;
    if (ghost === null) return;
    this.#ghost = null;
    this.#isLeft = true;
    await leaveGhost(this.#options.pool, ghost);
    this.#isLeft = false;
  }

  /** The same, before the intent `id` is forgotten, of what somebody who broke off has left. */
  async leaveAll(id: string): Promise<void> {
    if (!this.#isLeft) return;
    const { pool, session } = this.#options;
    await leaveGhostsOf(pool, id, { logged: session.logged });
    this.#isLeft = false;
  }

  /** Null: it is there, and like the table; else why it can't be. */
  async #haveTwin({ schema, table, id }: IntentTable, utcNow: Date): Promise<string | null> {
    const { pool, session } = this.#options;
    const { logged } = session;
    const last = this.#held.at(-1);
    const source =
      last === undefined ? { schema, table } : { schema: last.holdSchema, table: last.holdName };
    if (this.#ghost !== null) {
      const { fingerprint } = this.#ghost;
      const looks = [
        readFingerprint(pool, { id, ...source }, { off: this.#keys }),
        readFingerprint(pool, this.#ghost),
      ];
      // Somebody else's recovery may have taken the keys off the ghost.
      if ((await Promise.all(looks)).every((look) => look?.fingerprint === fingerprint))
        return null;
      await this.leave();
    }
    const before = this.#made++;
    const keys = this.#keys;
    this.#isLeft = true;
    const made = await makeGhost(pool, { id, before, source, keys, logged, utcNow });
    this.#isLeft = false;
    if ('none' in made) return made.none;
    this.#ghost = made;
    return null;
  }

  async #rename(seen: IntentTable, { utcNow, killAfterMs }: When): Promise<Swapped> {
    const { pool, session, tables: said } = this.#options;
    const { id, schema, table, holdUntil } = seen;
    const ghost = this.#ghost;
    assert(holdUntil !== null && ghost !== null, 'it has an intent and a ghost');
    const holdName = formatHoldName({ state: 'HOLD', id, due: holdUntil });
    const holdSchema = await this.#place(id, ghost);
    const tables = [{ id, schema, table, holdName, holdSchema, ghost }];
    const held = { id, schema: holdSchema, table: holdName };
    const before = this.#live ?? ghost;
    const was = { schema, table, utcNow, keys: before.keysOfSource };
    const look = (connection: ServiceConnection) =>
      tolerantly(() => readFingerprint(connection, held, { was }));
    let now: Awaited<ReturnType<typeof readFingerprint>> = null;
    const whileOwned = async (connection: ServiceConnection) => {
      now = await look(connection);
    };
    const waits = { killAfterMs, innodbWaitS: INNODB_WAIT_S };
    const rename = { tables, ...session, ...waits, whileOwned };
    const outcome = await renameByService(pool, rename).catch((error: unknown) => {
      const params = { tables: said, cause: rootCause(error) };
      throw new UndropError('UNDROP_FATE_UNKNOWN', params, error);
    });
    switch (outcome.kind) {
      case 'busy':
        return { ...outcome, kind: 'again' };
      case 'gone':
        // The table, or the ghost.
        await this.leave();
        return AGAIN;
      case 'failed':
        // It got a trigger since it was looked at, which can't go to another schema with it.
        if (outcome.errno === ER_TRG_IN_WRONG_SCHEMA) return AGAIN;
        if (ghost.keys.length === 0 || !KEY_NAME_TAKEN.includes(outcome.errno)) return outcome;
        this.#taken++;
        return AGAIN;
      case 'denied':
        return outcome;
      case 'renamed':
        break;
    }
    this.#live = ghost;
    this.#ghost = null;
    now ??= await look(pool);
    this.#keys = now?.keys ?? null;
    const failure = await this.#free(seen, { holdSchema, holdName });
    const last = { id, holdSchema, holdName, relocated: failure === null, failure };
    this.#held = [...this.#held, last];
    if (ghost.keys.length > 0) {
      await tolerantly(() => repointForeignKeys(pool, { id, schema, table }));
    }
    if (now === null || now.fingerprint === before.fingerprint) return { kind: 'held' };
    this.#altered = [...this.#altered, last];
    return AGAIN;
  }

  /** Where it is held: in another place each time that the names of its keys were taken in one. */
  async #place(id: string, ghost: GhostTable): Promise<string> {
    const { pool, session } = this.#options;
    const first = recycleSchemaFor(session.logged);
    const spares = spareSchemasFor(session.logged).filter((schema) => schema !== ghost.schema);
    const schema = [first, ...spares][this.#taken] ?? first;
    if (schema === first) return schema;
    if (!(await hasOthers(pool, schema, id))) {
      await createSchema(pool, schema);
      return schema;
    }
    this.#taken++;
    return this.#place(id, ghost);
  }

  /** Takes off it what binds others; null, or why that is to be done later. */
  async #free(
    { id, table }: IntentTable,
    { holdSchema, holdName }: Pick<HeldTable, 'holdSchema' | 'holdName'>,
  ): Promise<string | null> {
    const { pool, session } = this.#options;
    const { logged } = session;
    const held = { id, fromSchema: holdSchema, holdName, table };
    const [failure = null] = await detach(pool, [held], {
      logged,
      lockWaitBudget: new LockWaitBudget(),
    });
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
