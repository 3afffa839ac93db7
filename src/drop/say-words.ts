/**
 * How the server is brought to say its words for the names of a drop that are no base tables, and
 * for parents that it would not drop: the statements, in order. Pure.
 *
 * Invariant: none of them can destroy a base table.
 */
import type { IntentTable } from '../ledger/write.js';
import { hasGuards } from '../names/guard-table.js';
import type { ErrPacket } from '../wire/response/err.js';
import { errorsSql, hasBlocks, notesSql } from './block-words.js';
import { type BlockedParent, guardedParentSql, parentError, parentErrorSql } from './parents.js';
import type { DropRequest, UserFacts } from './request.js';
import { type Signal, signalSql } from './signal-sql.js';
import {
  cleanSql,
  dropTemporarySql,
  notSequenceSignal,
  type QualifiedName,
  viewSignal,
} from './words.js';

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
  readonly facts: UserFacts | ErrPacket;
}

interface Said {
  readonly texts: readonly Buffer[];
  /** The last of them is for the rows of SHOW WARNINGS; the answer is that before it. */
  readonly areRows: boolean;
}

export function sayWords(request: DropRequest, subject: Subject): Said {
  const { server, statement } = request;
  const names = subject.names.filter(({ kind }) => kind !== 'nothing');
  const [parent] = subject.blocked;
  if (names.length === 0 && parent === undefined) {
    return { texts: [cleanSql(request.groupId)], areRows: false };
  }
  if (server.flavour === 'mariadb') return sayOfMariadb(request, { ...subject, names });
  if (parent === undefined) {
    return { texts: [dropSql(request, names, statement)], areRows: false };
  }
  const error = hasGuards(server)
    ? guardedParentSql(subject.blocked.length, request)
    : parentErrorSql(server, parent);
  return { texts: [...dropTemporaries(request, names), error], areRows: false };
}

/** What is no table to it has a row of its own, before that for all that is missing. */
function sayOfMariadb(request: DropRequest, subject: Subject): Said {
  const { names, blocked, facts } = subject;
  const { ifExists } = request.statement;
  const hasRows = 'sqlMode' in facts && hasBlocks(request.server, facts);
  const missing = names.filter(({ kind }) => kind === 'missing');
  const wrong = names.filter(isOfWrongKind);
  if (ifExists && blocked.length === 0) {
    const [first] = wrong;
    if (!hasRows || first === undefined) {
      return { texts: [dropSql(request, names, request.statement)], areRows: false };
    }
    const isKept = missing.length > 0;
    const noted = names.filter((one) => one.kind === 'temporary' || one.kind === 'missing');
    const said = isKept ? noted : [...noted, first];
    const drop = dropSql(request, said, request.statement);
    return { texts: [notesSql(wrong.map(signalOf), { dropSql: drop, isKept })], areRows: false };
  }
  const errors = errorsOfMariadb(request, subject);
  const [first, ...more] = errors;
  if (first === undefined) {
    return { texts: [dropSql(request, names, request.statement)], areRows: false };
  }
  const texts = [...dropTemporaries(request, names), signalSql(first)];
  const isAlone = more.length + missing.length === 0;
  if (isAlone || !hasRows || ifExists) return { texts, areRows: false };
  const unknown = missing.length === 0 ? null : dropSql(request, missing, { ifExists });
  const rows = errorsSql(errors, { dropSql: unknown, server: request.server });
  return { texts: [...texts, rows], areRows: true };
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
