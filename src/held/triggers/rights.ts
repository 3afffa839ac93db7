/**
 * The privileges of the service account on triggers of others, by SHOW GRANTS: to drop one it needs
 * TRIGGER on its table; to create it again it needs the privilege to name another definer. With the
 * binary log on and log_bin_trust_function_creators off both need SUPER, but for DROP TRIGGER of
 * MySQL 8 and later.
 */
import type { ServicePool } from '../../service/pool/pools.js';
import type { ServerFacts } from '../../service/server-facts.js';
import { sql, textOf } from '../../service/sql.js';
import type { TriggerRights } from '../relocate/blockers.js';

/** The lines of SHOW GRANTS for the whole server, with active roles. */
const ON_SERVER = /^GRANT (.+?) ON \*\.\* TO /;
/** SUPER, or on MariaDB the privilege for the binary log. */
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
