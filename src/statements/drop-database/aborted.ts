/** A DROP DATABASE that ends here: everything is put back, and this is its answer. */
import { UndropError } from '../../errors.js';
import { isServerError } from '../../service/pool/pools.js';
import { rootCause } from '../../steps/refusals/root-cause.js';
import { refuse } from '../../steps/refuse.js';
import type { ErrPacket } from '../../wire/response/err.js';
import {
  ER_CANNOT_LOAD_FROM_TABLE,
  ER_CANNOT_LOAD_FROM_TABLE_V2,
  ER_COL_COUNT_DOESNT_MATCH_CORRUPTED,
  ER_COL_COUNT_DOESNT_MATCH_CORRUPTED_V2,
  ER_COL_COUNT_DOESNT_MATCH_PLEASE_UPDATE,
  ER_EVENT_NEITHER_M_EXPR_NOR_M_AT,
  ER_EVENT_OPEN_TABLE_FAILED,
  ER_EVENTS_DB_ERROR,
  ER_FOREIGN_DUPLICATE_KEY,
  ER_TABLE_CORRUPT,
} from '../../wire/server-errors.js';

export class DropDatabaseAborted extends Error {
  /** Payload of the ERR packet. */
  readonly payload: Buffer;
  /** Null where the server has said it. */
  readonly refusal: UndropError | null;
  /** The server's own words; null: a refusal of ours. */
  readonly said: ErrPacket | null;

  constructor(why: UndropError | ErrPacket) {
    const refusal = why instanceof UndropError ? why : null;
    super(refusal?.message ?? 'the server ended it', { cause: refusal });
    this.refusal = refusal;
    this.said = why instanceof UndropError ? null : why;
    this.payload = why instanceof UndropError ? refuse(why).payload : why.payload;
  }
}

/** Another session has dropped it meanwhile. */
export class SchemaGone extends Error {}

export function notDropped(schema: string, why: string, instead: string): UndropError {
  return new UndropError('UNDROP_SCHEMA_NOT_DROPPED', { schema, why, instead });
}

/** mysql.proc, mysql.event or the like is missing, or has another shape. */
const OF_OWN_TABLES = [
  ER_EVENT_OPEN_TABLE_FAILED,
  ER_EVENT_NEITHER_M_EXPR_NOR_M_AT,
  ER_COL_COUNT_DOESNT_MATCH_CORRUPTED,
  ER_CANNOT_LOAD_FROM_TABLE,
  ER_FOREIGN_DUPLICATE_KEY,
  ER_COL_COUNT_DOESNT_MATCH_PLEASE_UPDATE,
  ER_EVENTS_DB_ERROR,
  ER_CANNOT_LOAD_FROM_TABLE_V2,
  ER_COL_COUNT_DOESNT_MATCH_CORRUPTED_V2,
  ER_TABLE_CORRUPT,
];

/** Throws what is no fault of a server, a client or ops. */
export function abortedBy(error: unknown, schema: string): DropDatabaseAborted {
  if (error instanceof DropDatabaseAborted) return error;
  if (error instanceof UndropError) return new DropDatabaseAborted(error);
  if (!isServerError(error)) throw error;
  const instead = isServerError(error, ...OF_OWN_TABLES)
    ? 'Upgrade the server’s own tables (mariadb-upgrade, mysql_upgrade); then drop the schema.'
    : 'Run the statement again.';
  return new DropDatabaseAborted(
    notDropped(schema, `the service failed: ${rootCause(error)}`, instead),
  );
}
