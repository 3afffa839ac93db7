/**
 * Gives each name of a drop its schema: in the client's bytes for the user session, in UTF-8 for
 * the service connection.
 */

import { UndropError } from '../../errors.js';
import type { DropIntent } from '../../ledger/write.js';
import type { ErrPacket } from '../../wire/response.js';
import { sentenceStart } from '../refuse.js';
import type { DropRequest, UserFacts } from '../request.js';
import type { QualifiedName } from '../session/user-session-sql.js';
import { decodeName } from './decode-name.js';

/** `partition`: only rows of it are dropped. */
export type NamedTable = Pick<DropIntent['tables'][number], 'schema' | 'table' | 'partition'>;

export type ServiceNames =
  | { readonly tables: readonly NamedTable[] }
  | { readonly error: UndropError };

/** An error where a name can't be decoded, or has no schema. */
export function serviceNames(
  request: Pick<DropRequest, 'statement'>,
  session: { readonly schema: string | null; readonly charset: string },
): ServiceNames {
  try {
    const tables = request.statement.names.map(({ schema, table }) => {
      const inSchema = schema === null ? session.schema : decodeName(schema, session.charset);
      if (inSchema === null) {
        const cause = 'no schema is selected';
        throw new UndropError('UNDROP_NOT_RECORDED', { tables: sentenceStart(request), cause });
      }
      return { schema: inSchema, table: decodeName(table, session.charset) };
    });
    return { tables };
  } catch (error) {
    if (error instanceof UndropError) return { error };
    throw error;
  }
}

/**
 * Every name of a RENAME is qualified, so that the binary log says where the table was. If the
 * default schema can't be written in the client's charset by us, the name stays as it is: it means
 * the session's default schema, which the binary log names beside it.
 */
export function qualify(name: QualifiedName, facts: UserFacts | ErrPacket): QualifiedName {
  if (name.schema !== null || 'errno' in facts || facts.schema === null) return name;
  const bytes = Buffer.from(facts.schema);
  const isWritable = facts.charset.startsWith('utf8') || bytes.every((byte) => byte < 0x80);
  return isWritable ? { schema: bytes, table: name.table } : name;
}
