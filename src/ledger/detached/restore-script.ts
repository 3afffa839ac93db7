/**
 * The restore script in a ledger row: what brings the table back by hand, with a plain client and
 * without undrop. Pure. Names stand in quotes only, never in a comment that they could end.
 */
import { quoteIdentifier } from '../../service/sql.js';
import { type Detached, qualifiedKey } from './detached.js';
import { triggerLines } from './triggers.js';

interface ScriptFacts {
  readonly id: string;
  readonly schema: string;
  readonly table: string;
  readonly droppedAt: Date;
  readonly holdSchema: string;
  readonly holdName: string;
  /** sql_log_bin of the drop. */
  readonly sqlLogBin: boolean;
  /** What was taken off it; null: nothing. */
  readonly detached: Detached | null;
}

export function restoreScript(facts: ScriptFacts): string {
  const dropped = facts.droppedAt.toISOString().slice(0, 19).replace('T', ' ');
  const held = `${quoteIdentifier(facts.holdSchema)}.${quoteIdentifier(facts.holdName)}`;
  const own = `${quoteIdentifier(facts.schema)}.${quoteIdentifier(facts.table)}`;
  return [
    // No `--` comments: a client that prints newlines as `\\n` would make one comment of it all.
    `/* undrop ${facts.id}: dropped ${dropped} UTC. */`,
    '/* If the name is taken, move the table that has it out of the way first. */',
    ...(facts.sqlLogBin ? [] : ['SET SESSION sql_log_bin = 0;']),
    `RENAME TABLE ${held} TO ${own};`,
    ...(facts.detached === null ? [] : detachedLines(facts, own, facts.detached)),
    '',
  ].join('\n');
}

/** Each in a statement of its own: if one can't come back, the others do. */
function detachedLines(
  table: Pick<ScriptFacts, 'schema' | 'table'>,
  own: string,
  { checks, keysOut, triggers }: Detached,
): readonly string[] {
  const keys = [
    'SET @undrop_checks = @@SESSION.foreign_key_checks, SESSION foreign_key_checks = 0;',
    ...keysOut.map((key) => `ALTER TABLE ${own} ADD ${qualifiedKey(key)};`),
    'SET SESSION foreign_key_checks = @undrop_checks;',
  ];
  return [
    ...checks.map(({ clause }) => `ALTER TABLE ${own} ADD ${clause};`),
    ...(keysOut.length === 0 ? [] : keys),
    ...triggerLines(table, triggers),
  ];
}

/** A foreign key in the text of SHOW CREATE TABLE. */
export const FOREIGN_KEY_LINE = /^ {2}CONSTRAINT .* FOREIGN KEY /m;

/** A definition as SHOW CREATE TABLE prints it for the held table, under the table's own name. */
export function ownDefinition(printed: string, holdName: string, table: string): string {
  const held = quoteIdentifier(holdName);
  const index = printed.toLowerCase().indexOf(held.toLowerCase());
  // Only the first name is the table's; further ones are constraints', which follow its name.
  if (index === -1) return printed;
  return printed.slice(0, index) + quoteIdentifier(table) + printed.slice(index + held.length);
}
