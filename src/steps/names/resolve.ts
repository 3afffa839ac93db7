/**
 * The names of a drop as the service connection needs them: in UTF-8, each with its schema.
 */
import { UndropError } from '../../errors.js';
import type { DropIntent } from '../../ledger/write.js';
import { sentenceStart } from '../refuse.js';
import type { DropRequest } from '../request.js';
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
