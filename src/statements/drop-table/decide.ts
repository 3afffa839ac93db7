/**
 * Decides what becomes of each name of a DROP TABLE: held, said to be something else, or blocked by
 * a foreign key. Pure: facts in, decision out.
 *
 * Invariant: a table is moved only if both the session and the service saw it as a base table and
 * its intent is in the ledger.
 */
import { assert } from '../../assert.js';
import { UndropError } from '../../errors.js';
import type { LastingBlocker } from '../../held/relocate/blockers.js';
import type { ForeignKeyName, IntentFacts, IntentTable } from '../../ledger/write.js';
import { formatHoldName } from '../../names/hold-name.js';
import type { Ruling } from '../../policy/decide.js';
import { knownKind, refusalBeforeLooking } from '../../steps/preconditions.js';
import { type Again, again, sentenceStart } from '../../steps/refuse.js';
import type { DropRequest, UserFacts } from '../../steps/request.js';
import type { Look } from '../../steps/session/inspect-names.js';
import type { QualifiedName } from '../../steps/session/user-session-sql.js';
import { type BlockedParent, blockedParents } from './parents.js';
import type { SaidKind } from './server-answers.js';

/** Everything that is known of a drop once its intents are in the ledger. */
export interface Drop {
  readonly request: DropRequest;
  readonly look: Look;
  /** The names as they go into statements of ours, in order. */
  readonly names: readonly QualifiedName[];
  readonly facts: UserFacts;
  readonly intent: IntentFacts;
  /** What rules and hints make of each name. */
  readonly rulings: readonly Ruling[];
  /** For each name: why it must be held in its own schema, or null. */
  readonly stay: readonly (LastingBlocker | null)[];
}

/** One name of the statement and all that is known of it. */
export interface Name {
  readonly index: number;
  readonly kind: SaidKind | 'base';
  readonly name: QualifiedName;
  readonly seen: IntentTable;
}

export interface Move extends Name {
  readonly holdName: string;
}

export type Decision =
  | { readonly kind: 'refuse'; readonly error: UndropError }
  | Again
  | {
      readonly kind: 'words';
      readonly named: readonly Name[];
      readonly blocked: readonly BlockedParent[];
      /** Tables whose locks a drop would have taken before it said so. */
      readonly waitsFor: readonly QualifiedName[];
    }
  | {
      readonly kind: 'move';
      readonly moves: readonly Move[];
      readonly named: readonly Name[];
      /** Parents that stay, as the server would not drop them. */
      readonly blocked: readonly BlockedParent[];
    };

export function decide(drop: Drop): Decision {
  const { request, look, names, facts, intent, rulings } = drop;
  const refusal = refusalBeforeLooking(request, { ...look, names, rulings }, intent, facts);
  if (refusal !== null) return { kind: 'refuse', error: refusal };
  const seen = namesOf(drop);
  if (seen === null) {
    // Another session drops it between the two looks; or the service account may not see it.
    return again('only the session sees a table', unseenBase(drop));
  }
  return decideNames(request, seen, {
    checksForeignKeys: facts.checksForeignKeys,
    charset: facts.charset,
    foldsCase: intent.lowerCaseTableNames !== 0,
  });
}

/**
 * Joins what the user session and the service saw. Null where the user session sees a base table
 * that the service doesn't: then nobody recorded it, and nobody may rename it.
 */
function namesOf({ request, look, names: all, intent }: Drop): Name[] | null {
  const names: Name[] = [];
  for (const [index, seen] of intent.tables.entries()) {
    const kind = look.kinds[index];
    const name = all[index];
    assert(typeof kind === 'string' && name !== undefined, 'each name was looked at');
    const known = knownKind(kind, seen);
    if (known === 'base' && seen.holdUntil === null) return null;
    names.push({ index, kind: known === 'base' ? kindOfBase(request, seen) : known, name, seen });
  }
  return names;
}

function kindOfBase(
  { statement, server }: DropRequest,
  seen: IntentTable,
): 'base' | 'table' | 'missing' | 'nothing' {
  if (isOfEngine(seen, server)) return server.versionId < 110_800 ? 'missing' : 'nothing';
  return statement.object === 'sequence' && seen.kind !== 'sequence' ? 'table' : 'base';
}

/**
 * What MariaDB's performance_schema has, no statement drops: it isn't found (seen on 10.11), or
 * the answer is OK (on 11.8).
 */
function isOfEngine({ schema }: IntentTable, { flavour }: DropRequest['server']): boolean {
  return flavour === 'mariadb' && schema.toLowerCase() === 'performance_schema';
}

function unseenBase({ request, look, intent }: Drop): UndropError {
  const index = look.kinds.indexOf('base');
  const table = intent.tables[index];
  const name = table === undefined ? 'it' : `${table.schema}.${table.table}`;
  return new UndropError('UNDROP_NOT_SEEN', { tables: sentenceStart(request), table: name });
}

/** MySQL 8 and later: one name that can't be dropped, and nothing is. */
function isAtomicDrop({ server }: DropRequest): boolean {
  return server.flavour === 'mysql' && server.versionId >= 80_000;
}

function decideNames(
  request: DropRequest,
  names: readonly Name[],
  facts: Pick<UserFacts, 'checksForeignKeys' | 'charset'> & { readonly foldsCase: boolean },
): Decision {
  const { checksForeignKeys, foldsCase } = facts;
  const bases = names.filter(({ kind }) => kind === 'base');
  const others = names.filter(({ kind }) => kind !== 'base');
  const absent = names.filter(({ kind }) => kind === 'missing' || kind === 'view');
  const isAtomic = isAtomicDrop(request);
  if (isAtomic && !request.statement.ifExists && absent.length > 0) {
    // They are looked at one by one, and natively all of them go at once.
    const isBetween = absent.some(
      ({ kind, seen }) => kind === 'missing' && seen.holdUntil !== null,
    );
    if (isBetween && bases.length > 0) {
      return again('only the service sees a table');
    }
    return { kind: 'words', named: absent, blocked: [], waitsFor: [] };
  }
  const rules = { isAtomic, foldsCase };
  const blocked = checksForeignKeys
    ? blockedParents(
        bases.map(({ seen }) => seen),
        rules,
      )
    : [];
  // Nor is a temporary table beside it dropped there.
  if (isAtomic && blocked.length > 0) {
    const waitsFor = blocked.flatMap(({ key }) => childOf(key, facts));
    return { kind: 'words', named: [], blocked, waitsFor };
  }
  if (blocked.length === bases.length) {
    return { kind: 'words', named: others, blocked, waitsFor: [] };
  }
  const moves: Move[] = [];
  for (const base of bases.filter(({ seen }) => !blocked.some(({ table }) => table === seen))) {
    const due = base.seen.holdUntil;
    assert(due !== null, 'a table that is moved has an intent');
    const holdName = formatHoldName({ state: 'HOLD', id: base.seen.id, due });
    moves.push({ ...base, holdName });
  }
  return { kind: 'move', moves, named: others, blocked };
}

/**
 * None where it can't be said in the session's charset; that of the request is one of those that
 * read it the same.
 */
function childOf(
  { schema, table }: ForeignKeyName,
  { charset }: Pick<UserFacts, 'charset'>,
): readonly QualifiedName[] {
  const name = { schema: Buffer.from(schema), table: Buffer.from(table) };
  const isPlain = [...name.schema, ...name.table].every((byte) => byte < 0x80);
  return isPlain || charset.startsWith('utf8') ? [name] : [];
}
