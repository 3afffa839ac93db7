/**
 * What the ledger keeps of a schema that is being dropped, beside its tables: what it takes to make
 * it anew. Read by programs (where a failed drop took its charset) and, as SQL, by people. Pure.
 */
import { assert } from '../assert.js';
import { quoteIdentifier } from '../service/sql.js';
import { delimiterFor } from './triggers.js';

/** A view, routine, event or package, as SHOW CREATE printed it. */
export interface SchemaPart {
  /** `VIEW`, `PROCEDURE`, `FUNCTION`, `EVENT`, `PACKAGE`, `PACKAGE BODY`. */
  readonly kind: string;
  readonly name: string;
  /** Null where the service account may not see it. */
  readonly statement: string | null;
  /** sql_mode under which it was made, where the server says. */
  readonly sqlMode?: string;
}

export interface SchemaDetails {
  readonly charset: string;
  readonly collation: string;
  /** MariaDB's; null where there is none. */
  readonly comment: string | null;
  /** SHOW CREATE DATABASE. */
  readonly statement: string;
  readonly parts: readonly SchemaPart[];
}

export function formatSchemaDetails(details: SchemaDetails): string {
  return JSON.stringify(details);
}

export function parseSchemaDetails(text: string): SchemaDetails {
  const details = JSON.parse(text) as SchemaDetails;
  const { charset, collation } = details;
  // They go into a statement without quotes.
  for (const word of [charset, collation]) assert(/^\w+$/.test(word), 'a charset is a word');
  return details;
}

function oneLine(name: string): string {
  return quoteIdentifier(name).replaceAll(/[\r\n]/g, ' ');
}

/** SQL that makes it anew by hand, with a plain client; its tables have scripts of their own. */
export function schemaScript(schema: string, { statement, parts }: SchemaDetails): string {
  const texts = parts.flatMap(({ statement: text, sqlMode }) => {
    if (text === null) return [];
    return sqlMode === undefined ? [text] : [`SET SESSION sql_mode = '${sqlMode}'`, text];
  });
  const unread = parts.filter((part) => part.statement === null);
  const end = delimiterFor(texts.join());
  return [
    ...unread.map(
      ({ kind, name }) => `-- The service account could not read its ${kind} ${oneLine(name)}.`,
    ),
    `${statement.replaceAll(/\s*\n\s*/g, ' ')};`,
    `USE ${quoteIdentifier(schema)};`,
    ...(texts.length === 0 ? [] : [`DELIMITER ${end}`]),
    ...texts.map((text) => `${text}\n${end}`),
    ...(texts.length === 0 ? [] : ['DELIMITER ;']),
    '',
  ].join('\n');
}
