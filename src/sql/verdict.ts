/**
 * The verdict on a statement, and whether UNDROP_PROTECT names its kind. Invariant: a statement
 * that could destroy a base table, or write where held tables are, is never `not-ours`; if it isn't
 * understood and might do so, it is `unclear` or `recycle-schema-write`; one of unknown kind counts
 * for all kinds.
 */

import { assertNever } from '../errors.js';
import { holdsTruncate, type Protection } from './destroying.js';
import type { TableName } from './grammar/table-name.js';
import { isRecycleName } from './trigger-scan.js';

/** The form of the statement in which a refused drop came. */
export type StatementForm =
  | ('drop-database' | 'create-or-replace' | 'prepare' | 'execute-immediate')
  | ('compound' | 'set-statement' | 'multi-statement');

/** Passes unchanged. */
export interface NotOurs {
  readonly kind: 'not-ours';
}

/**
 * A DROP TABLE or a TRUNCATE, and nothing else but blanks, comments and a last `;`; or an ALTER
 * TABLE of partitions.
 */
export interface DropTable {
  readonly kind: 'drop-table';
  readonly statement: DropTableStatement;
  /** A name of it is in a recycle schema. */
  readonly isRecycled?: boolean;
}

/** MariaDB's lock wait clause; `text` is the number as the client wrote it. */
export type LockWait =
  | { readonly kind: 'wait'; readonly text: string }
  | { readonly kind: 'nowait' };

export interface DropTableStatement {
  /** The word for the tables; DROP SEQUENCE drops sequences only. */
  readonly object: 'table' | 'sequence';
  readonly ifExists: boolean;
  /** At least one, in the client's order; the same name may come twice. */
  readonly names: readonly TableName[];
  readonly wait: LockWait | null;
  /** Only the server can tell whether it accepts this text; unless it does, refuse. */
  readonly isDoubtful: boolean;
  /** A TRUNCATE: the one table exists afterwards, and is empty. */
  readonly empties?: boolean;
  /** An ALTER TABLE … DROP PARTITION, or TRUNCATE PARTITION: it is refused, or passes. */
  readonly partitions?: boolean;
}

/** A form that has a procedure of its own or none: `session/commands/dispatch.ts` knows. */
export interface Refused {
  readonly kind: 'refused';
  readonly form: StatementForm;
  /** The tables of all statements inside, if they are known. */
  readonly tables: readonly TableName[];
  /** Unescaped bytes of the schema's name, for DROP DATABASE and CREATE OR REPLACE DATABASE. */
  readonly schema: Uint8Array | null;
  /** DROP DATABASE has IF EXISTS. */
  readonly ifExists?: boolean;
  /** A CREATE OR REPLACE of a table or a sequence that was read to its end. */
  readonly replacement?: Replacement;
  /** The statements of a multi-statement text, or the one that is prepared. */
  readonly statements: readonly StatementPart[];
  /** The source of the text of that PREPARE or EXECUTE IMMEDIATE. */
  readonly source?: DynamicSource;
}

/** CREATE OR REPLACE of a table, or of a sequence. */
export interface Replacement {
  /** The table that is replaced. */
  readonly table: TableName;
  /** The positions of OR and REPLACE, as the offsets of a `StatementPart`. */
  readonly words: readonly { readonly start: number; readonly end: number }[];
}

/** Only the server has the text: the value of the variable must be read. */
export interface Dynamic {
  readonly kind: 'dynamic';
  readonly form: 'prepare' | 'execute-immediate';
  readonly source: DynamicSource;
}

/** The source of a text that is executed. */
export interface DynamicSource {
  /** `variable`: a user variable, or an expression of these and literals. */
  readonly kind: 'literal' | 'variable' | 'expression';
  /** SQL of the text, in the client's charset. */
  readonly expression: Uint8Array;
  /** The name that PREPARE gives to the statement. */
  readonly name: Uint8Array | null;
  /** EXECUTE IMMEDIATE … USING. */
  readonly hasUsing: boolean;
}

/** Might be undrop's, but the grammar doesn't accept it: the server's PREPARE checks its syntax. */
export interface Unclear {
  readonly kind: 'unclear';
  /** The reason, for the log and the text of the refusal. */
  readonly why: string;
  /** It exceeds a maximum: it is refused with this reason if the server accepts its syntax. */
  readonly tooMany?: TooMany;
}

/** The maxima of `sql/reading.ts` that a text can exceed. */
export type TooMany = 'names' | 'statements';

/** Might write where held tables are: it is refused, whatever else it does. */
export interface RecycleSchemaWrite {
  readonly kind: 'recycle-schema-write';
  /** It names a recycle schema; makes one the default schema; or either is possible. */
  readonly how: 'named' | 'use' | 'unclear';
}

/** Tables with the columns that are asked for most, or with all; or schemas. */
export type ShownDrops = 'tables' | 'full-tables' | 'databases' | 'objects';

/** SHOW DROPPED; null: all. The backslashes of `like` are still there. */
export interface ShowDropped<Text> {
  readonly kind: 'show-dropped';
  readonly what: ShownDrops;
  readonly schema: Text | null;
  readonly like: Text | null;
  readonly user: Text | null;
  readonly program: Text | null;
  /** Dropped then or later (`parseSince`). */
  readonly since: Text | null;
  /** Largest first; else newest first. */
  readonly isBySize: boolean;
  readonly limit: number | null;
}

/** Tables as they were at the beginning of a time, of a statement, or of a drop. */
export interface UndropMany<Text> {
  readonly kind: 'undrop-many';
  readonly what: 'all' | 'drop' | 'database';
  /** FROM these; a `database` is the only one; none: from all. */
  readonly schemas: readonly Text[];
  /** The id of a `drop`. */
  readonly id: Text | null;
  readonly since: Text | null;
  readonly until: Text | null;
  readonly user: Text | null;
  readonly program: Text | null;
  /** The live tables of these names go into HOLD. */
  readonly swap: boolean;
  /** Another schema for all of them. */
  readonly toSchema: Text | null;
  /** Does as much as can be done, whatever stands in the way of the rest. */
  readonly partial: boolean;
  readonly explains: boolean;
}

/** Names, or an id. */
export interface UndoTarget<Name = TableName> {
  readonly names: readonly Name[];
  /** The id of a held table, its beginning or its end, as written; null: there is a name. */
  readonly id: string | null;
}

/** With names as they are written, or bound: in UTF-8, each with its schema. */
export type UndoOf<Text, Name, To = Name> =
  | (UndoTarget<Name> & {
      readonly kind: 'undrop-table';
      /** The newest that was dropped before that time: then `names` is one. */
      readonly before: Text | null;
      /** The new name: then `names` is one at most. */
      readonly to: To | null;
      /** The live tables of these names go into HOLD. */
      readonly swap: boolean;
      /** WITH KEYS: also foreign keys to another table of the parent's name. */
      readonly keys: boolean;
      /** EXPLAIN: it reports what it would do. */
      readonly explains: boolean;
    })
  | UndropMany<Text>
  | {
      readonly kind: 'undrop-definition';
      readonly object: string;
      readonly name: Name;
      /** A live one of that name is recorded and replaced. */
      readonly swap: boolean;
    }
  | ShowDropped<Text>
  | (UndoTarget<Name> & { readonly kind: 'purge' })
  /** The tables that a DROP DATABASE of it dropped. */
  | { readonly kind: 'purge-database'; readonly schema: Text };

/** Names are unescaped bytes in the client's charset; a name without a schema is in the default. */
export type UndoStatement =
  | UndoOf<Uint8Array, TableName>
  | (UndoTarget & {
      readonly kind: 'hold';
      readonly how: 'for' | 'until';
      readonly time: Uint8Array;
    })
  | { readonly kind: 'explain-drop-table'; readonly drop: DropTableStatement }
  | {
      readonly kind: 'explain-drop-database';
      readonly schema: Uint8Array;
      readonly ifExists: boolean;
    }
  /** `at`: the offset of the error in the text. */
  | { readonly kind: 'syntax-error'; readonly at: number; readonly form: UndoForm };

/** The form of a wrong statement. */
export type UndoForm = 'undrop' | 'show' | 'hold' | 'purge' | 'explain';

/** A statement of undrop itself, which no server knows: it destroys nothing. */
export interface Undo {
  readonly kind: 'undo';
  readonly statement: UndoStatement;
}

/** A DROP of such objects, or a CREATE OR REPLACE of one: it passes once they are recorded. */
export interface DropDefinition {
  readonly kind: 'drop-definition';
  /** `VIEW`, `PROCEDURE` and the like (destroying.ts). */
  readonly object: string;
  readonly names: readonly TableName[];
  /** The drops among the other statements of its text; default: it is the only statement. */
  readonly more?: readonly DropDefinition[];
}

export type Verdict =
  | (NotOurs | DropTable | DropDefinition | Refused | Dynamic | Unclear)
  | (RecycleSchemaWrite | Undo);

/** A statement of several. */
export interface StatementPart {
  /** Offsets into the text that was classified; for a literal's statements, into the literal. */
  readonly start: number;
  readonly end: number;
  /** The offset of the next part, after the `;`. Null: this is the last one. */
  readonly next: number | null;
  readonly verdict: Verdict;
}

export const NOT_OURS: NotOurs = { kind: 'not-ours' };

export function unclear(why: string): Unclear {
  return { kind: 'unclear', why };
}

export function tooMany(what: TooMany): Unclear {
  return { kind: 'unclear', why: `too many ${what}`, tooMany: what };
}

/** The verdict on a statement that begins like none of undrop's. */
export function unexplained({ hasDrop }: { readonly hasDrop: boolean }): Verdict {
  return hasDrop ? unclear('it contains a DROP where none is expected') : NOT_OURS;
}

/** The first part of it that writes to a recycle schema. */
export function recycleSchemaWriteIn(verdict: Verdict): RecycleSchemaWrite | null {
  if (verdict.kind === 'recycle-schema-write') return verdict;
  if (verdict.kind !== 'refused') return null;
  for (const part of verdict.statements) {
    const write = recycleSchemaWriteIn(part.verdict);
    if (write !== null) return write;
  }
  return null;
}

/** A refusal of a statement around `statements`; their tables are its own. */
export function refusedVerdict(form: StatementForm, statements: readonly StatementPart[]): Refused {
  const verdicts = statements.map((part) => part.verdict);
  const schema = verdicts.find((verdict) => verdict.kind === 'refused')?.schema ?? null;
  return { kind: 'refused', form, tables: verdicts.flatMap(tablesOf), schema, statements };
}

/** The server gets it as it is. */
export function doesPass(verdict: Verdict): verdict is NotOurs | DropDefinition {
  return verdict.kind === 'not-ours' || verdict.kind === 'drop-definition';
}

/** A verdict on a text of such statements. */
export function passingAll(all: readonly Verdict[]): NotOurs | DropDefinition {
  const drops = all.flatMap((one) => (one.kind === 'drop-definition' ? one : []));
  const [first, ...more] = drops;
  return first === undefined ? NOT_OURS : { ...first, more };
}

/** The tables that a verdict names. */
export function tablesOf(verdict: Verdict): readonly TableName[] {
  if (verdict.kind === 'drop-table') return verdict.statement.names;
  return verdict.kind === 'refused' ? verdict.tables : [];
}

/** Whether a part of `verdict` is of a kind that UNDROP_PROTECT names, or that never passes. */
export function isProtected(verdict: Verdict, protect: ReadonlySet<Protection>): boolean {
  switch (verdict.kind) {
    case 'not-ours':
      return false;
    case 'recycle-schema-write':
      return true;
    case 'drop-table':
      return verdict.isRecycled === true || isHeldKind(kindOf(verdict), protect);
    case 'drop-definition':
    case 'dynamic':
    case 'unclear':
    case 'undo':
      // It may be any of them, or undo any of them.
      return protect.size > 0;
    case 'refused':
      if (verdict.form === 'drop-database' || verdict.form === 'create-or-replace') {
        const isRecycled = verdict.schema !== null && isRecycleName(verdict.schema);
        return isRecycled || protect.has(verdict.form);
      }
      // The statements in a block, or under SET STATEMENT, aren't parsed.
      if (verdict.statements.length === 0) return protect.size > 0;
      if (verdict.form === 'execute-immediate' && !protect.has('truncate')) {
        const isTruncate = ({ verdict: part }: StatementPart) =>
          part.kind === 'drop-table' && kindOf(part) === 'truncate';
        if (verdict.statements.every(isTruncate)) return false;
      }
      return verdict.statements.some((part) => isProtected(part.verdict, protect));
    default:
      return assertNever(verdict);
  }
}

function isHeldKind(kind: Protection, protect: ReadonlySet<Protection>): boolean {
  return kind === 'truncate' ? holdsTruncate(protect) : protect.has(kind);
}

/** Whether a statement of undrop itself is in it, alone or among several. */
export function hasUndo(verdict: Verdict): boolean {
  if (verdict.kind === 'undo') return true;
  return verdict.kind === 'refused' && verdict.statements.some((part) => hasUndo(part.verdict));
}

/** Its kind in UNDROP_PROTECT. */
export function kindOf({ statement }: DropTable): Protection {
  if (statement.partitions === true) return 'drop-partition';
  return statement.empties === true ? 'truncate' : 'drop-table';
}
