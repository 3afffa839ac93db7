/**
 * What a statement is to us, and whether UNDROP_PROTECT names its kind. Invariant: nothing that
 * could destroy a base table, or write where held tables are, is `not-ours`; what isn't understood
 * and might do so is `unclear` or `recycle-schema-write`; what may be any kind counts for all.
 */

import { assertNever } from '../assert.js';
import type { DropTableStatement } from './grammar/drop-table.js';
import type { TableName } from './grammar/table-name.js';
import type { UndoStatement } from './grammar/undrop.js';
import { isRecycleName } from './trigger-scan.js';

/** The form of the statement in which a refused drop came. */
export type StatementForm =
  | 'multi-statement'
  | 'drop-database'
  | 'create-or-replace'
  | 'prepare'
  | 'execute-immediate'
  | 'compound'
  | 'set-statement';

/** Goes through untouched. */
export interface NotOurs {
  readonly kind: 'not-ours';
}

/**
 * One DROP TABLE, TRUNCATE, or ALTER TABLE of partitions, and nothing else but blanks, comments and
 * a last `;`.
 */
export interface DropTable {
  readonly kind: 'drop-table';
  readonly statement: DropTableStatement;
  /** A name of it is in a recycle schema. */
  readonly isRecycled?: boolean;
}

/** Recognised, and not done by this version. */
export interface Refused {
  readonly kind: 'refused';
  readonly form: StatementForm;
  /** The tables of all statements inside, if they are known. */
  readonly tables: readonly TableName[];
  /** Unescaped bytes of the schema's name, of DROP DATABASE and CREATE OR REPLACE DATABASE. */
  readonly schema: Uint8Array | null;
  /** DROP DATABASE has IF EXISTS. */
  readonly ifExists?: boolean;
  /** A CREATE OR REPLACE of a table or a sequence that was read to its end. */
  readonly replacement?: Replacement;
  /** The statements of a multi-statement text, or the one that is prepared. */
  readonly statements: readonly StatementPart[];
  /** What the server makes the text of that PREPARE or EXECUTE IMMEDIATE executes. */
  readonly source?: DynamicSource;
}

/** CREATE OR REPLACE of a table, or of a sequence. */
export interface Replacement {
  /** What goes, and comes. */
  readonly table: TableName;
  /** Where OR and REPLACE stand, as the offsets of a `StatementPart`. */
  readonly words: readonly { readonly start: number; readonly end: number }[];
}

/** The text is known to the server only: it is asked for the value of a variable. */
export interface Dynamic {
  readonly kind: 'dynamic';
  readonly form: 'prepare' | 'execute-immediate';
  readonly source: DynamicSource;
}

/** Where a text that is executed comes from. */
export interface DynamicSource {
  readonly kind: 'literal' | 'variable' | 'expression';
  /** SQL of the text, in the client's charset. */
  readonly expression: Uint8Array;
  /** The name that PREPARE gives to the statement. */
  readonly name: Uint8Array | null;
  /** EXECUTE IMMEDIATE … USING. */
  readonly hasUsing: boolean;
}

/** Might be ours, and the grammar doesn't take it: the server's PREPARE checks its syntax. */
export interface Unclear {
  readonly kind: 'unclear';
  /** The reason, for the log and the text of the refusal. */
  readonly why: string;
  /** There is more of it than is read: it is refused so if the server takes its syntax. */
  readonly tooMany?: TooMany;
}

/** What there is more of in a text than `sql/reading.ts` allows. */
export type TooMany = 'names' | 'statements' | 'partitions';

/** Might write where held tables are: it is refused, whatever else it does. */
export interface RecycleSchemaWrite {
  readonly kind: 'recycle-schema-write';
  /** It names a recycle schema; makes one the default schema; or may do so, as far as is seen. */
  readonly how: 'named' | 'use' | 'unclear';
}

/** A statement of undrop's own, which no server knows: it destroys nothing. */
export interface Undo {
  readonly kind: 'undo';
  readonly statement: UndoStatement;
}

export type Verdict = NotOurs | DropTable | Refused | Dynamic | Unclear | RecycleSchemaWrite | Undo;

/** One statement of several. */
export interface StatementPart {
  /** Offsets into the text that was classified; of a literal's statements, into the literal. */
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

/** The verdict on a statement that begins like none of ours. */
export function unexplained({ hasDrop }: { readonly hasDrop: boolean }): Verdict {
  return hasDrop ? unclear('there is a DROP where none is expected') : NOT_OURS;
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

/** A refusal of what wraps `statements`; their tables are its own. */
export function refusedVerdict(form: StatementForm, statements: readonly StatementPart[]): Refused {
  const verdicts = statements.map((part) => part.verdict);
  const schema = verdicts.find((verdict) => verdict.kind === 'refused')?.schema ?? null;
  return { kind: 'refused', form, tables: verdicts.flatMap(tablesOf), schema, statements };
}

/** The tables that a verdict names. */
export function tablesOf(verdict: Verdict): readonly TableName[] {
  if (verdict.kind === 'drop-table') return verdict.statement.names;
  return verdict.kind === 'refused' ? verdict.tables : [];
}

/** What undrop protects; a statement of a kind that is left out goes to the server as it is. */
export type Protection =
  | 'drop-table'
  | 'drop-database'
  | 'create-or-replace'
  | 'truncate'
  | 'drop-partition';

/** TRUNCATE and DROP PARTITION are ours only if these have them. */
export type Protected = Pick<ReadonlySet<Protection>, 'has'>;

/** Whether `verdict` has a part of a kind that UNDROP_PROTECT names, or that is never let go. */
export function isProtected(verdict: Verdict, protect: ReadonlySet<Protection>): boolean {
  switch (verdict.kind) {
    case 'not-ours':
      return false;
    case 'recycle-schema-write':
      return true;
    case 'drop-table':
      return verdict.isRecycled === true || protect.has(kindOf(verdict));
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
      // What is in a block, or under SET STATEMENT, isn't read.
      if (verdict.statements.length === 0) return protect.size > 0;
      return verdict.statements.some((part) => isProtected(part.verdict, protect));
    default:
      return assertNever(verdict);
  }
}

/** Whether one of undrop's own statements is in it, by itself or among several. */
export function hasUndo(verdict: Verdict): boolean {
  if (verdict.kind === 'undo') return true;
  return verdict.kind === 'refused' && verdict.statements.some((part) => hasUndo(part.verdict));
}

/** What of UNDROP_PROTECT it is. */
export function kindOf({ statement }: DropTable): Protection {
  if (statement.partitions !== undefined) return 'drop-partition';
  return statement.empties === true ? 'truncate' : 'drop-table';
}
