/**
 * How the server is brought to say its words for the names of a drop that are no base tables, and
 * for parents that it would not drop: the statements, in order. Pure.
 *
 * Invariant: none of them can destroy a base table.
 */
import type { IntentTable } from '../../ledger/write.js';
import type { DropRequest } from '../../steps/request.js';
import { type Signal, signalSql } from '../../steps/session/signal.js';
import {
  cleanSql,
  dropTemporarySql,
  notSequenceSignal,
  type QualifiedName,
  viewSignal,
} from '../../steps/session/user-session-sql.js';
import { type BlockedParent, parentError, parentErrorSql } from './parents.js';

/**
 * `table`: a base table, in a DROP SEQUENCE, which doesn't drop it; `nothing`: not dropped, and
 * nothing is said.
 */
export type SaidKind = 'temporary' | 'view' | 'table' | 'missing' | 'nothing';

interface SaidName {
  readonly index: number;
  readonly kind: SaidKind | 'base';
  readonly name: QualifiedName;
  readonly seen: IntentTable;
}

interface Subject {
  /** Temporary tables among them are dropped. */
  readonly names: readonly SaidName[];
  readonly blocked: readonly BlockedParent[];
  /** Where in the statement the first of `blocked` is. */
  readonly parentAt: number;
}

export interface Said {
  readonly texts: readonly Buffer[];
  /** How many notes the OK counts, if it has any; default: as many as the server says. */
  readonly notes?: number;
}

export function sayWords(request: DropRequest, subject: Subject): Said {
  const { server, statement } = request;
  const names = subject.names.filter(({ kind }) => kind !== 'nothing');
  const [parent] = subject.blocked;
  if (names.length === 0 && parent === undefined) {
    return { texts: [cleanSql(request.groupId)] };
  }
  if (server.flavour === 'mariadb') return sayOfMariadb(request, { ...subject, names });
  if (parent === undefined) {
    return { texts: [dropSql(request, names, statement)] };
  }
  return { texts: [...dropTemporaries(request, names), parentErrorSql(server, parent)] };
}

/** Its words for what is no table are errors of their own, or notes, one for each. */
function sayOfMariadb(request: DropRequest, subject: Subject): Said {
  const { names, blocked } = subject;
  const { ifExists } = request.statement;
  const wrong = names.filter(isOfWrongKind);
  const [error] = errorsOfMariadb(request, subject);
  if (error !== undefined) {
    return { texts: [...dropTemporaries(request, names), signalSql(error)] };
  }
  const texts = [dropSql(request, names, request.statement)];
  if (wrong.length === 0 || !ifExists || blocked.length > 0) return { texts };
  const isMissing = names.some(({ kind }) => kind === 'missing');
  return { texts, notes: wrong.length + (isMissing ? 1 : 0) };
}

/** A parent is spoken of where nothing was wrong before it; under IF EXISTS views are notes. */
function errorsOfMariadb(
  { server, statement }: DropRequest,
  { names, blocked, parentAt }: Subject,
): readonly Signal[] {
  const [parent] = blocked;
  const wrong = statement.ifExists ? [] : names.filter(isOfWrongKind);
  const errors = wrong.map(signalOf);
  const isFirst = wrong.every(({ index }) => index > parentAt);
  return parent === undefined || !isFirst ? errors : [parentError(server, parent), ...errors];
}

function isOfWrongKind({ kind }: SaidName): boolean {
  return kind === 'view' || kind === 'table';
}

function signalOf({ kind, seen: { schema, table } }: SaidName): Signal {
  return kind === 'view' ? viewSignal(schema, table) : notSequenceSignal(schema, table);
}

function dropTemporaries(request: DropRequest, names: readonly SaidName[]): readonly Buffer[] {
  const temporary = names.filter(({ kind }) => kind === 'temporary');
  return temporary.length === 0 ? [] : [dropSql(request, temporary, request.statement)];
}

function dropSql(
  request: DropRequest,
  names: readonly SaidName[],
  { ifExists }: { readonly ifExists: boolean },
): Buffer {
  const { object } = request.statement;
  return dropTemporarySql(
    names.map(({ name }) => name),
    { ...request, object, ifExists },
  );
}
