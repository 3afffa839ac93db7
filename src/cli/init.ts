/**
 * `undrop init`: the statements that make the service account for this very server, printed; with
 * --apply they are run by the account of an administrator, and the ledger is made.
 */
import { applyAccount } from '../account/apply.js';
import { readTier } from '../account/examine.js';
import { type Account, grantsFor, TIERS, type Tier } from '../account/grants.js';
import { isOfUsers } from '../account/schemas.js';
import { printStatements, takeAwayAll } from '../account/statements.js';
import { innermost } from '../drop/innermost.js';
import { UndropError } from '../errors.js';
import { ensureLedger } from '../ledger/tables.js';
import { describeAddress } from '../service/address.js';
import { dialUpstream } from '../session/connect.js';
import { leaveUnanswered } from '../session/farewell.js';
import { decodeHandshakeV10 } from '../wire/connection/handshake-v10.js';
import { HEADER_BYTES } from '../wire/framing.js';
import { bareVersion, parseServerVersion, type ServerVersion } from '../wire/server-version.js';
import type { InitSettings } from './account-settings.js';
import { withPool } from './with-pool.js';

export async function runInit(
  settings: InitSettings,
  { apply, json }: { readonly apply: boolean; readonly json: boolean },
): Promise<number> {
  checkSchemas(settings);
  const text = apply ? await applyIt(settings, json) : await printIt(settings, json);
  process.stdout.write(`${text}\n`);
  return 0;
}

function checkSchemas({ tier, schemas }: InitSettings): void {
  const others = schemas.filter((schema) => !isOfUsers(schema));
  const problems = [
    ...(tier === 'least' && schemas.length === 0
      ? ['UNDROP_SCHEMAS is not set: expected the schemas of the tier least.']
      : []),
    ...(tier !== 'least' && schemas.length > 0
      ? [`UNDROP_SCHEMAS is for the tier least: expected none, as UNDROP_TIER is ${tier}.`]
      : []),
    ...(others.length > 0
      ? [`UNDROP_SCHEMAS: expected schemas of users, found ${others.join(', ')}.`]
      : []),
  ];
  if (problems.length > 0) {
    throw new UndropError('UNDROP_CONFIG', { problems: problems.join('\n') });
  }
}

async function printIt(settings: InitSettings, json: boolean): Promise<string> {
  const { user, accountHost: host, tier, schemas } = settings;
  const { version, server } = await greetingOf(settings);
  const grants = grantsFor(server, { tier, schemas, isLiteral: false });
  const statements = printStatements({ user, host }, grants);
  if (json) return JSON.stringify({ version, tier, statements: statements.split('\n') }, null, 2);
  const head = `-- The service account of undrop (tier ${tier}) on ${version}.`;
  const mayBeLiteral = server.flavour === 'mysql' && server.versionId >= 80_016;
  return [head, ...(tier === 'least' && mayBeLiteral ? [IF_LITERAL] : []), statements].join('\n');
}

const IF_LITERAL = `-- Where partial_revokes is ON, names are no patterns: take \`undrop init --apply\` there, or write
-- names without backslashes, and for _undrop% one by one _undrop, _undrop_2 to _undrop_32,
-- _undrop_local, _undrop_local_2 to _undrop_local_32.`;

async function applyIt(settings: InitSettings, json: boolean): Promise<string> {
  const { user, password, accountHost: host, tier, schemas, adminUser, adminPassword } = settings;
  const account = { user, host };
  const admin = { ...settings, user: adminUser, password: adminPassword };
  const { isNew, grants, absent } = await withPool(
    admin,
    (pool) => applyAccount(pool, { account, password, tier, schemas }),
    'UNDROP_ADMIN_ACCOUNT',
  );
  const has = await logIn(settings, isNew);
  const stillHas = has !== null && TIERS.indexOf(has) < TIERS.indexOf(tier) ? has : null;
  if (json) return JSON.stringify({ account, tier, isNew, grants, absent, stillHas }, null, 2);
  const what = isNew ? 'was made' : 'was there, with its password';
  return [
    `The account ${user}@${host} ${what}; it has the rights of the tier ${tier}:`,
    ...grants.map(
      ({ rights, schema, why }) => `  ${rights.join(', ')} on ${schema ?? '*'}: ${why}`,
    ),
    ...absent.map((schema) => `There is no schema ${schema} yet.`),
    ...(stillHas === null ? [] : [tooMuch(stillHas, account)]),
    'The ledger is ready. `undrop doctor` looks at it again at any time.',
  ].join('\n');
}

/**
 * As the account itself: that shows that it can log in, and that the rights are enough. Hands back
 * the tier that it has.
 */
async function logIn(settings: InitSettings, isNew: boolean): Promise<Tier | null> {
  try {
    return await withPool(settings, async (pool) => {
      await ensureLedger(pool);
      return await readTier(pool);
    });
  } catch (error) {
    if (!(error instanceof UndropError)) throw error;
    if (isNew) throw unfinished(settings, error);
    throw error.code === 'UNDROP_ACCOUNT' ? otherPassword(settings, error) : error;
  }
}

function tooMuch(tier: Tier, account: Account): string {
  return [
    `Nothing was taken away: it still has the tier ${tier}. To take that away (drops are`,
    `refused meanwhile): ${takeAwayAll(account)}; then run this again.`,
  ].join('\n');
}

function unfinished({ user, accountHost, tier }: InitSettings, error: UndropError) {
  const isOut = error.code === 'UNDROP_ACCOUNT';
  const lacks = isOut ? 'can’t log in from here' : 'not the ledger';
  const params = {
    account: `${user}@${accountHost}`,
    what: `with the rights of the tier ${tier}, but ${lacks}`,
    cause: innermost(error),
    instead: isOut
      ? 'Where undrop is to run elsewhere, run `undrop doctor` there; otherwise DROP USER, and run this again with UNDROP_ACCOUNT_HOST as the server sees this host.'
      : 'Run this again when that is mended; what is done already stays.',
  };
  return new UndropError('UNDROP_ACCOUNT_UNFINISHED', params, error);
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
  const server = parseServerVersion(serverVersion);
  return { version: bareVersion(serverVersion), server };
}
