/**
 * A trigger that was detached from a dropped table, as the ledger stores it, and the script that
 * creates it again by hand. Pure.
 *
 * Invariant: its statement is kept byte for byte in its own charset, without the table's name,
 * which differs while the table is held.
 */
import { assert } from '../../assert.js';
import { quoteIdentifier } from '../../service/sql.js';

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
export function mergeTriggers(
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
export function assertTrigger({ sqlMode, ...trigger }: HeldTrigger): void {
  const words = [trigger.characterSetClient, trigger.collationConnection];
  assert(trigger.quote === '`' || trigger.quote === '"', 'a quote is one of two');
  assert(/^[A-Z0-9_,]*$/i.test(sqlMode), 'an sql_mode is a list of words');
  assert(
    words.every((word) => /^\w+$/.test(word)),
    'a charset is a word',
  );
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
