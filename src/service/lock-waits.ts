/**
 * What the process list says of a session that waits for another's lock. Not all that begins with
 * `Waiting for` is that: a commit (`waiting for handler commit`, MySQL 8 and later) and what a
 * replica has to say (`Waiting for semi-sync ACK …`) come by themselves.
 * https://dev.mysql.com/doc/refman/8.4/en/general-thread-states.html
 */
import { sql } from './sql.js';

/** A condition on `STATE`. */
export const WAITS_FOR_LOCK = sql`(STATE LIKE 'Waiting for % lock'
  OR STATE = 'Waiting for table flush')`;
