/** A DROP DATABASE that ends here: everything is put back, and this is its answer. */
import { UndropError } from '../errors.js';
import { isServerError } from '../service/pools.js';
import type { ErrPacket } from '../wire/response/err.js';
import { innermost } from './innermost.js';
import { refuse } from './next-step.js';

export class Halt extends Error {
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

/** mysql.proc, mysql.event and the like are missing, or have another shape: 1805 and such. */
const OF_OWN_TABLES = [1545, 1546, 1547, 1548, 1557, 1558, 1577, 1728, 1805, 1877];

/** Throws what is no fault of a server, a client or ops. */
export function haltOf(error: unknown, schema: string): Halt {
  if (error instanceof Halt) return error;
  if (error instanceof UndropError) return new Halt(error);
  if (!isServerError(error)) throw error;
  const instead = isServerError(error, ...OF_OWN_TABLES)
    ? 'Upgrade the server’s own tables (mariadb-upgrade, mysql_upgrade); then drop the schema.'
    : 'Run the statement again.';
  return new Halt(notDropped(schema, `the service failed: ${innermost(error)}`, instead));
}
