/**
 * Decides what becomes of each name of a DROP TABLE: held, said to be something else, or blocked by
 * a foreign key. Pure: facts in, decision out.
 *
 * Invariant: a table is moved only if both the session and the service saw it as a base table and
 * its intent is in the ledger.
 */
import { assert } from '../../assert.js';
import { UndropError } from '../../errors.js';
import type { IntentFacts, IntentTable } from '../../ledger/write.js';
import { formatHoldName } from '../../names/hold-name.js';
import type { Ruling } from '../../policy/decide.js';
import type { Seen } from '../../steps/inspect-names.js';
import { knownKind } from '../../steps/preconditions.js';
import { type Again, again, sentenceStart } from '../../steps/refuse.js';
import type { DropRequest } from '../../steps/request.js';
import type { QualifiedName } from '../../steps/session/user-session-sql.js';
import { type BlockedParent, blockedParents } from './parents.js';

/** Everything that is known of a drop once its intents are in the ledger. */
export interface Drop extends Seen {
  readonly intent: IntentFacts;
  /** What rules and hints make of each name. */
  readonly rulings: readonly Ruling[];
}

/** One name of the statement and all that is known of it. */
export interface Name {
  readonly index: number;
  /**
   * `table`: a base table, in a DROP SEQUENCE, which doesn't drop it; `nothing`: not dropped, and
   * nothing is said.
   */
  readonly kind: 'base' | 'temporary' | 'view' | 'table' | 'missing' | 'nothing';
  readonly name: QualifiedName;
  readonly seen: IntentTable;
}

export interface Move extends Name {
  readonly holdName: string;
}

export type Decision =
  | Again
  | {
      /** Base tables that are held. */
      readonly moves: readonly Move[];
      /** Names that the server says something about. */
      readonly named: readonly Name[];
      /** Parents that stay, because the server would not drop them. */
      readonly blocked: readonly BlockedParent[];
    };

export function decide(drop: Drop): Decision {
  const { request, facts, intent } = drop;
  const names: Name[] = [];
  for (const [index, seen] of intent.tables.entries()) {
    const kind = drop.kinds[index];
    const name = drop.names[index];
    assert(kind !== undefined && name !== undefined, 'each name was looked at');
    const known = knownKind(kind, seen);
    // Nobody recorded it: another session drops it, or the service account may not see it.
    if (known === 'base' && seen.holdUntil === null) return unseen(request, seen);
    names.push({ index, kind: known === 'base' ? kindOfBase(request, seen) : known, name, seen });
  }
  const bases = names.filter(({ kind }) => kind === 'base');
  const others = names.filter(({ kind }) => kind !== 'base');
  const absent = names.filter(({ kind }) => kind === 'missing' || kind === 'view');
  // MySQL 8 and later: if one name can't be dropped, nothing is.
  const isAtomic = request.server.flavour === 'mysql' && request.server.versionId >= 80_000;
  if (isAtomic && !request.statement.ifExists && absent.length > 0) {
    // They are looked at one by one, and natively all of them go at once.
    const isSeenByServiceOnly = absent.some(
      ({ kind, seen }) => kind === 'missing' && seen.holdUntil !== null,
    );
    if (isSeenByServiceOnly && bases.length > 0) return again('only the service sees a table');
    return { moves: [], named: absent, blocked: [] };
  }
  const tables = bases.map(({ seen }) => seen);
  const rules = { isAtomic, foldsCase: intent.lowerCaseTableNames !== 0 };
  const blocked = facts.checksForeignKeys ? blockedParents(tables, rules) : [];
  // Nor is a temporary table beside it dropped there.
  if (isAtomic && blocked.length > 0) return { moves: [], named: [], blocked };
  const moves: Move[] = [];
  for (const base of bases.filter(({ seen }) => !blocked.some(({ table }) => table === seen))) {
    const { id, holdUntil: due } = base.seen;
    assert(due !== null, 'a table that is moved has an intent');
    moves.push({ ...base, holdName: formatHoldName({ state: 'HOLD', id, due }) });
  }
  return { moves, named: others, blocked };
}

function unseen(request: DropRequest, { schema, table }: IntentTable): Again {
  const params = { tables: sentenceStart(request), table: `${schema}.${table}` };
  return again('only the session sees a table', new UndropError('UNDROP_NOT_SEEN', params));
}

/** Names that DROP needs a right on, and a lock. */
export function namesToAsk({ names, kinds }: Pick<Seen, 'names' | 'kinds'>) {
  return names.filter((_name, index) => kinds[index] !== 'temporary');
}

function kindOfBase({ statement, server }: DropRequest, seen: IntentTable): Name['kind'] {
  // No statement drops what MariaDB has there: it isn't found (seen on 10.11), or the answer is OK
  // (on 11.8).
  if (server.flavour === 'mariadb' && seen.schema.toLowerCase() === 'performance_schema') {
    return server.versionId < 110_800 ? 'missing' : 'nothing';
  }
  return statement.object === 'sequence' && seen.kind !== 'sequence' ? 'table' : 'base';
}
