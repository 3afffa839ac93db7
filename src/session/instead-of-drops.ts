/**
 * A block of MariaDB's in other words: a RENAME in the place of each drop, and for names that are
 * missing the words of a DROP TEMPORARY TABLE. Pure.
 *
 * Invariant: nothing that is put in destroys a base table.
 */
import { renameGroups } from '../drop/rename-groups.js';
import {
  commitSql,
  dropTemporarySql,
  type QualifiedName,
  renameSql,
  waitText,
} from '../drop/words.js';
import type { IntentTable } from '../ledger/write.js';
import { formatHoldName } from '../names/hold-name.js';
import type { BlockDrop } from '../sql/block-drops.js';
import type { ClientCharset } from '../sql/lex-mode.js';
import type { ServerVersion } from '../wire/server-version.js';

/** A name of a drop. */
export interface BlockName {
  readonly name: QualifiedName;
  /** Null: there is no such table. */
  readonly holdName: string | null;
  readonly hasTriggers: boolean;
}

export interface BlockWords {
  readonly groupId: string;
  readonly charset: ClientCharset;
  readonly server: ServerVersion;
}

/** The version of MariaDB that took RENAME TABLE IF EXISTS up. */
const RENAMES_IF_EXISTS = 100_502;
const NEWLINE = 0x0a;

/** What stands in the place of a drop in `text`. */
export function insteadOf(
  text: Buffer,
  { start, end, statement }: BlockDrop,
  names: readonly BlockName[],
  options: BlockWords,
): Buffer {
  const { ifExists, object } = statement;
  const renames = groupsOf(names).map((moves) =>
    renameSql({
      ...options,
      moves,
      wait: waitText(statement),
      ifExists: ifExists && options.server.versionId >= RENAMES_IF_EXISTS,
    }),
  );
  const statements: Uint8Array[] = [...renames];
  const missing = names.filter(({ holdName }) => holdName === null).map(({ name }) => name);
  if (renames.length === 0) statements.push(commitSql(options.groupId));
  if (missing.length > 0) {
    statements.push(dropTemporarySql(missing, { ...options, object, ifExists }));
  }
  // Errors of the block name lines.
  const lines = text.subarray(start, end).filter((byte) => byte === NEWLINE);
  return Buffer.concat([...statements.flatMap(separated), lines]);
}

export const NO_NAME: QualifiedName = { schema: null, table: new Uint8Array() };

/** `name` by what is recorded of it. */
export function blockName(name: QualifiedName, table: IntentTable | undefined): BlockName {
  const due = table?.holdUntil ?? null;
  if (table === undefined || due === null) return { name, holdName: null, hasTriggers: false };
  const holdName = formatHoldName({ state: 'HOLD', id: table.id, due });
  return { name, holdName, hasTriggers: table.triggers.length > 0 };
}

/** How many statements it takes. */
export function countInstead(names: readonly BlockName[]): number {
  return groupsOf(names).length + Number(names.some(({ holdName }) => holdName === null));
}

interface MovedName extends BlockName {
  readonly holdName: string;
}

function groupsOf(names: readonly BlockName[]): readonly (readonly MovedName[])[] {
  const moved = names.filter((name): name is MovedName => name.holdName !== null);
  return renameGroups(moved, ({ hasTriggers }) => hasTriggers);
}

function separated(statement: Uint8Array, index: number): readonly Uint8Array[] {
  return index === 0 ? [statement] : [Buffer.from('; '), statement];
}
