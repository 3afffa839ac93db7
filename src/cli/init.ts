/**
 * `undrop init`: the statements that make the service account for this very server, printed; with
 * --apply they are run by the account of an administrator, and the ledger is made.
 */
import { applyAccount } from '../account/apply.js';
import { grantsFor } from '../account/grants.js';
import { printStatements } from '../account/statements.js';
import { innermost } from '../drop/innermost.js';
import { UndropError } from '../errors.js';
import { ensureLedger } from '../ledger/tables.js';
import { describeAddress } from '../service/address.js';
import { dialUpstream } from '../session/connect.js';
import { leaveUnanswered } from '../session/farewell.js';
import { decodeHandshakeV10 } from '../wire/connection/handshake-v10.js';
import { HEADER_BYTES } from '../wire/framing.js';
import { parseServerVersion, type ServerVersion } from '../wire/server-version.js';
import type { InitSettings } from './account-settings.js';
import { withPool } from './with-pool.js';

export async function runInit(
  settings: InitSettings,
  { apply, json }: { readonly apply: boolean; readonly json: boolean },
): Promise<number> {
  if (settings.tier === 'least' && settings.schemas.length === 0) {
    const problems = 'UNDROP_SCHEMAS is not set: expected the schemas of the tier least.';
    throw new UndropError('UNDROP_CONFIG', { problems });
  }
  const text = apply ? await applyIt(settings, json) : await printIt(settings, json);
  process.stdout.write(`${text}\n`);
  return 0;
}

async function printIt(settings: InitSettings, json: boolean): Promise<string> {
  const { user, accountHost: host, tier, schemas } = settings;
  const { version, server } = await greetingOf(settings);
  const grants = grantsFor(server, { tier, schemas, isLiteral: false });
  const statements = printStatements({ user, host }, grants);
  if (json) return JSON.stringify({ version, tier, statements: statements.split('\n') }, null, 2);
  return `-- The service account of undrop (tier ${tier}) on ${version}.\n${statements}`;
}

async function applyIt(settings: InitSettings, json: boolean): Promise<string> {
  const { user, password, accountHost: host, tier, schemas, adminUser, adminPassword } = settings;
  const account = { user, host };
  const admin = { ...settings, user: adminUser, password: adminPassword };
  const { isNew, grants } = await withPool(
    admin,
    (pool) => applyAccount(pool, { account, password, tier, schemas }),
    'UNDROP_ADMIN_ACCOUNT',
  );
  // As the account itself: that shows that it can log in, and that the rights are enough.
  try {
    await withPool(settings, (pool) => ensureLedger(pool));
  } catch (error) {
    if (isNew || !(error instanceof UndropError) || error.code !== 'UNDROP_ACCOUNT') throw error;
    throw otherPassword(settings, error);
  }
  if (json) return JSON.stringify({ account, tier, isNew, grants }, null, 2);
  const what = isNew ? 'was made' : 'was there, with its password';
  return [
    `The account ${user}@${host} ${what}; it has the rights of the tier ${tier}:`,
    ...grants.map(
      ({ rights, schema, why }) => `  ${rights.join(', ')} on ${schema ?? '*'}: ${why}`,
    ),
    'The ledger is ready. `undrop doctor` looks at it again at any time.',
  ].join('\n');
}

/** Of an account that init has not made: nobody's password is changed by the way. */
function otherPassword({ user, accountHost, tier, upstream }: InitSettings, error: UndropError) {
  const server = upstream.map(describeAddress).join(', ');
  const account = `${user}@${accountHost}`;
  const params = { account, tier, server, cause: innermost(error) };
  return new UndropError('UNDROP_OTHER_PASSWORD', params, error);
}

/** What the server says of itself to whoever knocks. */
async function greetingOf(
  settings: InitSettings,
): Promise<{ readonly version: string; readonly server: ServerVersion }> {
  const { upstream, connectTimeout, greetingTimeout } = settings;
  const dialled = await dialUpstream(upstream, {
    connectTimeoutMs: connectTimeout,
    greetingTimeoutMs: greetingTimeout,
  });
  const { serverVersion } = decodeHandshakeV10(dialled.greeting.subarray(HEADER_BYTES));
  leaveUnanswered({ ...dialled, heard: dialled.greeting, onBroken: () => undefined });
  return { version: serverVersion, server: parseServerVersion(serverVersion) };
}
