/**
 * The properties of a dropped schema that the ledger keeps beside its tables, to create it again.
 * Read by programs (a failed drop takes its charset from here) and, as SQL, by people. Pure.
 */

import { quoteIdentifier } from '../connections/sql.js';
import { assert } from '../errors.js';
import { delimiterFor } from './detached/detached.js';

/** A view, routine, event or package, as SHOW CREATE printed it. */
export interface SchemaPart {
  /** `VIEW`, `PROCEDURE`, `FUNCTION`, `EVENT`, `PACKAGE`, `PACKAGE BODY`. */
  readonly kind: string;
  readonly name: string;
  /** Null if the service account may not read it. */
  readonly statement: string | null;
  /** sql_mode under which it was created, if the server reports it. */
  readonly sqlMode?: string;
  /** Further properties of its creation; rows of older versions lack these. */
  readonly characterSetClient?: string;
  readonly collationConnection?: string;
  readonly databaseCollation?: string;
  /** An event's. */
  readonly timeZone?: string;
}

export interface SchemaDetails {
  readonly charset: string;
  readonly collation: string;
  /** MariaDB's; null if there is none. */
  readonly comment: string | null;
  /** SHOW CREATE DATABASE. */
  readonly statement: string;
  readonly parts: readonly SchemaPart[];
}

export function parseSchemaDetails(text: string): SchemaDetails {
  const details = JSON.parse(text) as SchemaDetails;
  const { charset, collation } = details;
  // They go into a statement without quotes.
  for (const word of [charset, collation]) assert(/^\w+$/.test(word), 'a charset is a word');
  return details;
}

/** Routines before the views that may use them, views before those that name them, then events. */
export function inOrder(parts: readonly SchemaPart[]): readonly SchemaPart[] {
  const views = parts.filter(({ kind }) => kind === 'VIEW');
  const sorted = new Set<SchemaPart>();
  const seen = new Set<SchemaPart>();
  const take = (view: SchemaPart): void => {
    if (seen.has(view)) return;
    seen.add(view);
    const isNamed = ({ name }: SchemaPart) =>
      view.statement?.includes(quoteIdentifier(name)) === true;
    for (const other of views) if (other !== view && isNamed(other)) take(other);
    sorted.add(view);
  };
  for (const view of views) take(view);
  const isEvent = ({ kind }: SchemaPart) => kind === 'EVENT';
  const routines = parts.filter((part) => part.kind !== 'VIEW' && !isEvent(part));
  return [...routines, ...sorted, ...parts.filter(isEvent)];
}

function oneLine(name: string): string {
  return quoteIdentifier(name).replaceAll(/[\r\n]/g, ' ');
}

const RESTORE_FIRST = '-- Restore its tables now (undrop list), then continue.';

/** SQL that creates it again by hand, with a plain client; its tables are restored in between. */
export function schemaScript(schema: string, { statement, parts }: SchemaDetails): string {
  // A view has no mode of its own: it is read as the server shows it.
  const texts = inOrder(parts).flatMap(({ statement: text, sqlMode = '', timeZone }) => {
    // The times of an event are in its own zone.
    const zone = timeZone === undefined ? '' : `, time_zone = '${timeZone}'`;
    return text === null ? [] : [`SET SESSION sql_mode = '${sqlMode}'${zone}`, text];
  });
  const unread = parts.filter((part) => part.statement === null);
  const end = delimiterFor(texts.join());
  return [
    ...unread.map(
      ({ kind, name }) =>
        `-- Not recorded, because it could not be read, or there were too many: ${kind} ${oneLine(name)}.`,
    ),
    `${statement.replaceAll(/\s*\n\s*/g, ' ')};`,
    `USE ${quoteIdentifier(schema)};`,
    ...(texts.length === 0 ? [] : [RESTORE_FIRST, `DELIMITER ${end}`]),
    ...texts.map((text) => `${text}\n${end}`),
    ...(texts.length === 0 ? [] : ['DELIMITER ;']),
    '',
  ].join('\n');
}
