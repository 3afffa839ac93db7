/**
 * The swap of a TRUNCATE: an empty copy takes the name of the table in the same atomic RENAME in
 * which the table goes to its hold name.
 *
 * Invariant: if another session altered the table between the copy and the RENAME, `run` says so;
 * the next run makes its copy like the table that is held, and holds the first copy too. So no row
 * is lost, nor one ALTER.
 */
import { assert } from '../../assert.js';
import type { GhostTable } from '../../held/empty-copy.js';
import type { IntentTable } from '../../ledger/write.js';
import { formatHoldName } from '../../names/hold-name.js';
import type { OneTable } from '../../steps/first-look.js';
import { perform, type Steps, serve } from '../../steps/procedure.js';
import type { HeldTable } from '../../steps/refuse.js';
import type { ServiceRenameOutcome } from '../../steps/rename/rename-by-service.js';
import { INNODB_WAIT_S } from '../../steps/rename/take-by-service.js';
import {
  ER_FK_DUP_NAME,
  ER_TABLE_EXISTS_ERROR,
  ER_TRG_IN_WRONG_SCHEMA,
} from '../../wire/server-errors.js';
import type { NotMade, SeenTable, SwapService } from './service.js';

export type Swapped =
  /** `altered`: the copy is as the table was before another session altered it. */
  | { readonly kind: 'held' | 'altered' }
  | NotMade
  | Exclude<ServiceRenameOutcome, { kind: 'renamed' }>;

export class Swap {
  /** What came under hold names, the oldest first. */
  held: readonly HeldTable[] = [];
  readonly service: SwapService;
  readonly #table: OneTable;
  /** The copy that took the name with the last RENAME. */
  #live: GhostTable | null = null;
  /** The last held table as it came under its hold name. */
  #last: SeenTable | null = null;
  /** In so many places a foreign key had the name of one of the table's. */
  #taken = 0;

  constructor(table: OneTable, service: SwapService) {
    this.#table = table;
    this.service = service;
  }

  /** Throws UNDROP_FATE_UNKNOWN if nobody knows whether the RENAME happened. */
  *run(
    seen: IntentTable,
    { utcNow, killAfterMs }: { readonly utcNow: Date; readonly killAfterMs: number },
  ): Steps<Swapped> {
    const { logged, checksForeignKeys } = this.#table.facts;
    const { id, schema, table, holdUntil } = seen;
    const last = this.held.at(-1);
    const source =
      last === undefined ? { schema, table } : { schema: last.holdSchema, table: last.holdName };
    const taken = this.#taken;
    const wanted = { id, source, keys: this.#last?.keys ?? null, logged, utcNow, taken };
    const copy = yield* serve((pool) => this.service.makeCopy(pool, wanted));
    if ('kind' in copy) return copy;
    assert(holdUntil !== null, 'it has an intent');
    const holdName = formatHoldName({ state: 'HOLD', id, due: holdUntil });
    const { holdSchema } = copy;
    const tables = [{ id, schema, table, holdName, holdSchema, ghost: copy }];
    const waits = { killAfterMs, innodbWaitS: INNODB_WAIT_S };
    const rename = { tables, logged, checksForeignKeys, ...waits };
    const outcome = yield* perform('take', { rename });
    if (outcome.kind !== 'renamed') {
      yield* serve((pool) => this.service.leaveCopy(pool, copy));
      const isKeyTaken = copy.keys.length > 0 && isOf(outcome, KEY_NAME_TAKEN);
      if (isKeyTaken) this.#taken++;
      // It got a trigger since it was looked at, which can't go to another schema with it.
      const isPassing = isKeyTaken || isOf(outcome, [ER_TRG_IN_WRONG_SCHEMA]);
      return isPassing ? { kind: 'busy' } : outcome;
    }
    const { keysOfSource, fingerprint } = this.#live ?? copy;
    const was = { schema, table, utcNow, keys: keysOfSource };
    const place = { id, schema: holdSchema, table: holdName };
    const hasKeys = copy.keys.length > 0;
    const { now, failure } = yield* serve((pool) =>
      this.service.freeHeld(pool, { place, was, logged, hasKeys }),
    );
    [this.#live, this.#last] = [copy, now];
    this.held = [...this.held, { id, holdSchema, holdName, relocated: failure === null, failure }];
    return { kind: now === null || now.fingerprint === fingerprint ? 'held' : 'altered' };
  }
}

/**
 * A table that is held has a foreign key of that name still, which is about to be taken off: MySQL
 * says it so, MariaDB and 5.6 say it of a table; but hold names are never there twice.
 */
const KEY_NAME_TAKEN: readonly number[] = [ER_FK_DUP_NAME, ER_TABLE_EXISTS_ERROR];

function isOf(outcome: ServiceRenameOutcome, errnos: readonly number[]): boolean {
  return outcome.kind === 'failed' && errnos.includes(outcome.errno ?? 0);
}
