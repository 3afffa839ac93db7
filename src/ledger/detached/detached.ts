/**
 * The parts that were detached from a dropped table so that it neither waits nor makes others wait
 * while it is held, as the ledger stores them: its foreign keys, those of live tables that led to
 * it, its triggers, and CHECKs whose names are taken wherever it could go. Pure, but for
 * `recordDetached`.
 *
 * Invariant: names of the user's own, never a hold name; so it is valid wherever the table is.
 */

import type { ServicePool } from '../../connections/sql.js';
import { col, note, quoteIdentifier, quoteKeyName, sql } from '../../connections/sql.js';
import { assert } from '../../errors.js';
import { NAME_CHARACTERS_MAX } from '../../names/names.js';
import { DETACHED_RECORD_TRIES } from '../../tries.js';
import { LEDGER } from '../tables.js';

export const KEY_ACTIONS = ['RESTRICT', 'CASCADE', 'SET NULL', 'NO ACTION', 'SET DEFAULT'] as const;

export type KeyAction = (typeof KEY_ACTIONS)[number];

export interface ForeignKey {
  readonly name: string;
  readonly columns: readonly string[];
  readonly parentSchema: string;
  readonly parentTable: string;
  readonly parentColumns: readonly string[];
  /** Null: not in the definition. */
  readonly onDelete: KeyAction | null;
  readonly onUpdate: KeyAction | null;
  /** The plain index of exactly these columns; the server would create one with its own name. */
  readonly index: string | null;
}

/** A foreign key of a live table to the dropped one. */
export interface ChildKey {
  readonly childSchema: string;
  readonly childTable: string;
  readonly key: ForeignKey;
  /** It refers to the original name again, as after a native drop; or it is lost. */
  readonly isDone: boolean;
  /** The child was dropped while the key was detached, so that its own row may lack the key. */
  readonly isLost?: true;
}

/** A CHECK with a name that the user gave. */
export interface HeldCheck {
  readonly name: string;
  /** `CONSTRAINT … CHECK …` as SHOW CREATE TABLE prints it. */
  readonly clause: string;
}

export interface Detached {
  readonly keysOut: readonly ForeignKey[];
  readonly keysIn: readonly ChildKey[];
  /** The triggers in the order of creation. */
  readonly triggers: readonly HeldTrigger[];
  readonly checks: readonly HeldCheck[];
}

export const NOTHING_DETACHED: Detached = { keysOut: [], keysIn: [], triggers: [], checks: [] };

export function hasDetached({ keysOut, keysIn, triggers, checks }: Detached): boolean {
  return keysOut.length + keysIn.length + triggers.length + checks.length > 0;
}

/**
 * Keys recorded before win, because a later read no longer finds keys that were detached meanwhile.
 * A child's key that one of two proxies has repointed is repointed.
 */
export function mergeDetached(before: Detached, found: Detached): Detached {
  const repointed = before.keysIn.map((child) => {
    const now = found.keysIn.find((other) => isSameChildKey(other, child));
    const isDone = child.isDone || now?.isDone === true;
    return { ...child, isDone, ...(now?.isLost ? { isLost: now.isLost } : {}) };
  });
  return {
    keysOut: union(before.keysOut, found.keysOut, isSameName),
    keysIn: union(repointed, found.keysIn, isSameChildKey),
    triggers: mergeTriggers(before.triggers, found.triggers),
    checks: union(before.checks, found.checks, isSameName),
  };
}

function union<T>(
  before: readonly T[],
  found: readonly T[],
  isSame: (one: T, other: T) => boolean,
): readonly T[] {
  return [...before, ...found.filter((one) => !before.some((known) => isSame(known, one)))];
}

function isSameName(one: { readonly name: string }, other: { readonly name: string }): boolean {
  return one.name === other.name;
}

export function isSameChildKey(one: ChildKey, other: ChildKey): boolean {
  return (
    one.childSchema === other.childSchema &&
    one.childTable === other.childTable &&
    one.key.name === other.key.name
  );
}

/**
 * The beginning of a text of `formatDetached` that has the keys to other tables, but for a table
 * with more than about sixty of them. Triggers come later, and may take megabytes.
 */
export const KEYS_CHARACTERS = 16_384;

/** The part of it that a key to that parent has; undefined: to any table of the schema. */
export function keyPart(parentSchema: string, parentTable: string | undefined): string {
  return JSON.stringify({ parentSchema, parentTable }).slice(1, -1);
}

/** Null if nothing was detached. */
export function formatDetached(detached: Detached): string | null {
  return hasDetached(detached) ? JSON.stringify(detached) : null;
}

export function parseDetached(text: string | null): Detached {
  if (text === null) return NOTHING_DETACHED;
  // Rows from before triggers or CHECKs were detached lack them.
  const parsed = JSON.parse(text) as Partial<Detached>;
  const { keysOut = [], keysIn = [], triggers = [], checks = [] } = parsed;
  for (const key of [...keysOut, ...keysIn.map((child) => child.key)]) assertKey(key);
  for (const trigger of triggers) assertTrigger(trigger);
  for (const { clause } of checks) assert(checkNameOf(clause) !== null, 'a CHECK as it is printed');
  return { keysOut, keysIn, triggers, checks };
}

/** A text that goes into a statement without quotes must be a known one. */
function assertKey({ onDelete, onUpdate }: ForeignKey): void {
  for (const action of [onDelete, onUpdate]) {
    assert(action === null || KEY_ACTIONS.includes(action), 'an action of a foreign key');
  }
}

const CHECK = /^CONSTRAINT `((?:[^`]|``)+)` CHECK \(.*\)(?: \/\*!80016 NOT ENFORCED \*\/)?$/s;

/** The name in a CHECK clause; null if it isn't one. */
function checkNameOf(clause: string): string | null {
  return CHECK.exec(clause)?.[1]?.replaceAll('``', '`') ?? null;
}

/**
 * The lines of SHOW CREATE TABLE, one for each column, index and key; a name may contain line
 * breaks.
 */
export function definitionLines(definition: string): readonly string[] {
  return definition.match(/(?:`[^`]*`|'(?:[^'\\]|\\.)*'|[^\n`'])+/gs) ?? [];
}

/** Every CHECK in the text of SHOW CREATE TABLE. */
export function checksIn(definition: string): readonly HeldCheck[] {
  return definitionLines(definition).flatMap((line) => {
    const clause = line.replace(/^ {2}/, '').replace(/,$/, '');
    const name = line.startsWith('  CONSTRAINT ') ? checkNameOf(clause) : null;
    return name === null ? [] : [{ name, clause }];
  });
}

/** A foreign key in the text of SHOW CREATE TABLE. */
export const FOREIGN_KEY_LINE = /^ {2}CONSTRAINT `(?:[^`]|``)+` FOREIGN KEY /m;

/** A definition as SHOW CREATE TABLE prints it for the held table, under the table's own name. */
export function ownDefinition(printed: string, holdName: string, table: string): string {
  const held = quoteIdentifier(holdName);
  const index = printed.toLowerCase().indexOf(held.toLowerCase());
  // Only the first name is the table's; further ones are of constraints that follow its name.
  if (index === -1) return printed;
  return printed.slice(0, index) + quoteIdentifier(table) + printed.slice(index + held.length);
}

/** The key as SHOW CREATE TABLE prints it in a table of `schema`. */
export function printedKey(key: ForeignKey, schema: string): string {
  const isNear = key.parentSchema === schema;
  return keyText(key, isNear ? quoteIdentifier(key.parentTable) : qualifiedParent(key));
}

/**
 * The key for a statement that works in any session. `id`: the drop of the table that it is added
 * to; default: the key is only shown.
 */
export function qualifiedKey(key: ForeignKey, id: string | null = null): string {
  const named = id === null ? key : { ...key, name: nameToAdd(key.name, id) };
  return keyText(named, qualifiedParent(key));
}

/** A RENAME of its table has made it longer than a server accepts in an ADD. */
export function isTooLong(name: string): boolean {
  return Array.from(name).length > NAME_CHARACTERS_MAX;
}

/** The name under which a key of the table with that drop is added again. */
export function nameToAdd(name: string, id: string): string {
  if (!isTooLong(name)) return name;
  const suffix = name.slice(name.lastIndexOf('_ibfk_'));
  return Array.from(`${id}${suffix}`).slice(0, NAME_CHARACTERS_MAX).join('');
}

function keyText(key: ForeignKey, parent: string): string {
  const onDelete = key.onDelete === null ? '' : ` ON DELETE ${key.onDelete}`;
  const onUpdate = key.onUpdate === null ? '' : ` ON UPDATE ${key.onUpdate}`;
  return `CONSTRAINT ${quoteKeyName(key.name)} ${referenceText(key, parent)}${onDelete}${onUpdate}`;
}

/** The rest of a key, without its actions. */
export function referenceText(key: ForeignKey, parent = qualifiedParent(key)): string {
  const { columns, parentColumns } = key;
  const list = (names: readonly string[]) => `(${names.map(quoteIdentifier).join(', ')})`;
  return `FOREIGN KEY ${list(columns)} REFERENCES ${parent} ${list(parentColumns)}`;
}

function qualifiedParent({ parentSchema, parentTable }: ForeignKey): string {
  return `${quoteIdentifier(parentSchema)}.${quoteIdentifier(parentTable)}`;
}

// ── in the ledger ────────────────────────────────────────────────────────────────────────────────
// Two proxies may record parts at once, each with the parts that it found; so nothing is
// overwritten: old and new parts are merged, and if the row has changed meanwhile, merged again.

interface DetachedRecord {
  readonly id: string;
  readonly detached: Detached;
  /** The complete definition; null keeps the present one. */
  readonly definition: string | null;
}

/**
 * Call it before anything is detached, and when a child's key leads to the original name again.
 * False if the row's table is no longer held, or the row keeps changing: then nothing may be
 * detached.
 */
export async function recordDetached(
  pool: ServicePool,
  { id, detached, definition }: DetachedRecord,
): Promise<boolean> {
  for (let tries = 1; tries <= DETACHED_RECORD_TRIES; tries++) {
    const [[row] = []] = await pool.run(
      sql`SELECT ${note('detach', id)} detached, row_logged FROM ${LEDGER}
          WHERE id = ${id} AND ${HELD}`,
    );
    if (row === undefined) return false;
    const before = col.textOrNull(row, 'detached');
    const [written] = await pool.logging(col.flag(row, 'row_logged')).run(
      sql`UPDATE ${note('detach', id)} ${LEDGER}
        SET detached = ${formatDetached(mergeDetached(parseDetached(before), detached))},
          definition = COALESCE(${definition}, definition)
        WHERE id = ${id} AND ${HELD} AND detached <=> ${before}`,
    );
    if (written?.affectedRows === 1) return true;
  }
  return false;
}

const HELD = sql`state IN ('intent', 'HOLD')`;

// ── triggers ─────────────────────────────────────────────────────────────────────────────────────
// A trigger that was detached, as the ledger stores it, and the script that creates it again by
// hand. Its statement is kept byte for byte in its own charset, without the table's name, which
// differs while the table is held.

/** The properties of a trigger beside its statement. */
export interface TriggerFacts {
  readonly name: string;
  /** `BEFORE INSERT` and the like. */
  readonly event: string;
  /** Its position among those of the same event; 0 before MySQL 5.7, which has only one. */
  readonly order: number;
  /** `user@host`, without quotes. */
  readonly definer: string;
  readonly sqlMode: string;
  readonly characterSetClient: string;
  readonly collationConnection: string;
  readonly databaseCollation: string;
}

export interface HeldTrigger extends TriggerFacts {
  /** Around the table's name: a double quote under ANSI_QUOTES. */
  readonly quote: '`' | '"';
  /** `CREATE DEFINER=… TRIGGER … ON ` and all after the table's name: its bytes in base64. */
  readonly head: string;
  readonly tail: string;
  /** The same in UTF-8, for people. */
  readonly shownHead: string;
  readonly shownTail: string;
}

/** The table's name as the server itself writes it there. */
export function quotedTable({ quote }: Pick<HeldTrigger, 'quote'>, table: string): string {
  const quoted = quoteIdentifier(table);
  return quote === '`' ? quoted : `"${table.replaceAll('"', '""')}"`;
}

/**
 * In the order of creation. A trigger that is found now replaces the recorded one, because it may
 * have been changed. An unchanged one keeps its position: two concurrent recoveries may create it
 * again (detach-triggers.ts), and then it follows those that are still there.
 */
function mergeTriggers(
  before: readonly HeldTrigger[],
  found: readonly HeldTrigger[],
): readonly HeldTrigger[] {
  const isFound = ({ name }: HeldTrigger) => found.some((trigger) => trigger.name === name);
  const now = found.map((trigger) => {
    const known = before.find((other) => isSameTrigger(other, trigger));
    return known === undefined ? trigger : { ...trigger, order: known.order };
  });
  return [...before.filter((trigger) => !isFound(trigger)), ...now].sort(
    (one, other) => one.order - other.order,
  );
}

function isSameTrigger(one: HeldTrigger, other: HeldTrigger): boolean {
  return (
    one.name === other.name &&
    one.event === other.event &&
    one.head === other.head &&
    one.tail === other.tail
  );
}

/** A part of a script that isn't a name must be a plain word. */
function assertTrigger({ sqlMode, ...trigger }: HeldTrigger): void {
  const charsets = [trigger.characterSetClient, trigger.collationConnection];
  const arePlain = charsets.every((word) => /^\w+$/.test(word));
  assert(trigger.quote === '`' || trigger.quote === '"', 'a quote is one of two');
  assert(/^[A-Z0-9_,]*$/i.test(sqlMode), 'an sql_mode is a list of words');
  assert(arePlain, 'a charset is a word');
}

/**
 * Lines of a script for a plain client with UTF-8. In a client with another charset the texts keep
 * their meaning, though the trigger is then shown in that charset.
 */
export function triggerLines(
  { schema, table }: { readonly schema: string; readonly table: string },
  triggers: readonly HeldTrigger[],
): readonly string[] {
  if (triggers.length === 0) return [];
  return [
    `USE ${quoteIdentifier(schema)};`,
    'SET @undrop_mode = @@SESSION.sql_mode, @undrop_client = @@SESSION.character_set_client,',
    '  @undrop_connection = @@SESSION.collation_connection;',
    ...triggers.flatMap((trigger) => linesOf(trigger, table)),
    'SET SESSION sql_mode = @undrop_mode, character_set_client = @undrop_client,',
    '  collation_connection = @undrop_connection;',
  ];
}

function linesOf(trigger: HeldTrigger, table: string): readonly string[] {
  const { sqlMode, characterSetClient, collationConnection, shownHead, shownTail } = trigger;
  const text = `${shownHead}${quotedTable(trigger, table)}${shownTail}`;
  const client = isAscii(text) ? `'${characterSetClient}'` : '@undrop_client';
  const modes =
    `SET SESSION character_set_client = ${client}, ` +
    `collation_connection = '${collationConnection}', sql_mode = '${sqlMode}';`;
  if (!text.includes(';')) return [modes, `${text}`, ';'];
  const delimiter = delimiterFor(text);
  return [modes, `DELIMITER ${delimiter}`, text, delimiter, 'DELIMITER ;'];
}

export function isAscii(text: string): boolean {
  return Buffer.byteLength(text) === text.length;
}

/** A statement delimiter for the `mysql` client that doesn't occur in the text. */
export function delimiterFor(text: string): string {
  let delimiter = '$$';
  while (text.includes(delimiter)) delimiter += '$';
  return delimiter;
}
