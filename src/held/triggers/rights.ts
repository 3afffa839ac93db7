/**
 * What the service account may do with triggers that others have made, by SHOW GRANTS: to drop one
 * takes TRIGGER on its table; to make it again takes the right to name another definer. With the
 * binary log on and log_bin_trust_function_creators off both take SUPER, but for DROP TRIGGER of
 * MySQL 8 and later.
 */
import type { ServicePool } from '../../service/pool/pools.js';
import type { ServerFacts } from '../../service/server-facts.js';
import { sql, textOf } from '../../service/sql.js';
import type { TriggerRights } from '../relocate/blockers.js';

/** What SHOW GRANTS says of the server as a whole, with active roles. */
const ON_SERVER = /^GRANT (.+?) ON \*\.\* TO /;
/** SUPER, or on MariaDB the right to decide about the binary log. */
const TRUSTED = /\b(?:ALL PRIVILEGES|SUPER|BINLOG ADMIN)\b/;
const DEFINERS = /\b(?:ALL PRIVILEGES|SUPER|SET USER|SET_USER_ID|SET_ANY_DEFINER)\b/;

export async function readTriggerRights(
  pool: ServicePool,
  { flavour, versionId }: Pick<ServerFacts, 'flavour' | 'versionId'>,
): Promise<TriggerRights> {
  const [variables = [], grants = []] = await pool.run([
    sql`SHOW GLOBAL VARIABLES
        WHERE Variable_name IN ('log_bin', 'log_bin_trust_function_creators')`,
    sql`SHOW GRANTS`,
  ]);
  const texts = grants.flatMap((row) => Object.values(row)).map(String);
  const has = (right: RegExp) => texts.some((text) => right.test(ON_SERVER.exec(text)?.[1] ?? ''));
  const isOn = (name: string) =>
    variables.some((row) => textOf(row, 'Variable_name') === name && textOf(row, 'Value') === 'ON');
  const isTrusted = !isOn('log_bin') || isOn('log_bin_trust_function_creators') || has(TRUSTED);
  const isNew = flavour === 'mysql' && versionId >= 80_000;
  return { mayDrop: isNew || isTrusted, mayMake: isTrusted && has(DEFINERS) };
}
