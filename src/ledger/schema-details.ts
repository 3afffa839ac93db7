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

/** SQL that makes it anew by hand, with a plain client; its tables have scripts of their own. */
export function schemaScript(schema: string, { statement, parts }: SchemaDetails): string {
  const texts = parts.flatMap(({ statement: text, sqlMode }) => {
    if (text === null) return [];
    return sqlMode === undefined ? [text] : [`SET SESSION sql_mode = '${sqlMode}'`, text];
  });
  const unread = parts.length - parts.filter((part) => part.statement !== null).length;
  const end = delimiterFor(texts.join());
  return [
    ...(unread === 0 ? [] : [`/* ${unread} of its views and programs could not be read. */`]),
    `${statement.replaceAll(/\s*\n\s*/g, ' ')};`,
    `USE ${quoteIdentifier(schema)};`,
    ...(texts.length === 0 ? [] : [`DELIMITER ${end}`]),
    ...texts.map((text) => `${text}\n${end}`),
    ...(texts.length === 0 ? [] : ['DELIMITER ;']),
    '',
  ].join('\n');
}
