/**
 * `undrop init` prints the statements that create the service account for this very server; with
 * --apply it runs them with an administrator's account, and creates the ledger.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { applyAccount } from '../../account/apply.js';
import { examine } from '../../account/examine.js';
import * as granting from '../../account/grants.js';
import { describeAddress } from '../../connections/server-address.js';
import { rootCause, UndropError } from '../../errors.js';
import { ensureLedger } from '../../ledger/tables.js';
import { isUserSchema } from '../../names/names.js';
import { readGreeting } from '../../session/dial/dial.js';
import type { Flags, InitSettings, Shell } from './settings.js';
import { flagText, INIT_KEYS, settingsOf, wrongFlag, wrongUsage } from './settings.js';
import { withPool } from './with-pool.js';

export async function runInit(flags: Flags, shell: Shell): Promise<number> {
  // The warnings come with the other settings.
  const quiet = { ...shell, stderr: { write: () => undefined } };
  makePasswordFile(settingsOf(quiet, ['passwordFile'], flags).passwordFile, shell);
  const settings = settingsOf(shell, INIT_KEYS, flags);
  checkSchemas(settings);
  const host = flagText(flags, 'account-host') || null;
  const text =
    flags['apply'] === true
      ? await applyIt(settings, { host, admin: await adminOf(flags, shell) })
      : await printIt(settings, host);
  shell.stdout.write(`${text}\n`);
  return 0;
}

/** Its password is in a file, or typed. */
async function adminOf(flags: Flags, { ask }: Pick<Shell, 'ask'>) {
  const user = flagText(flags, 'admin-user') ?? 'root';
  const path = flagText(flags, 'admin-password-file');
  if (path !== null) return { user, password: readPassword(path) };
  if (ask === undefined) {
    throw wrongFlag('admin-password-file', 'a file, because there is no terminal', 'none');
  }
  return { user, password: await ask(`Password of ${user}: `, { isSecret: true }) };
}

function readPassword(path: string): string {
  try {
    return readFileSync(path, 'utf8').replace(/\r?\n$/, '');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    throw wrongFlag('admin-password-file', 'a readable file', message);
  }
}

/**
 * Writes a new password to the file that undrop reads it from, for its own OS account only; a file
 * that is there stays as it is.
 */
function makePasswordFile(path: string, { stderr }: Pick<Shell, 'stderr'>): void {
  if (path === '' || existsSync(path)) return;
  try {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, `${newPassword()}\n`, { mode: 0o600, flag: 'wx' });
  } catch (error) {
    const { code, message: cause } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    const problems = `UNDROP_PASSWORD_FILE: expected a file, or a folder for it, found ${cause}.`;
    throw new UndropError('UNDROP_CONFIG', { problems }, error);
  }
  // The statements on standard output may be read by a client.
  stderr.write(`Wrote a new password to ${path}, which only this OS account may read.\n`);
}

/** Strong, with all kinds of characters that a server may require; without need of quotes. */
function newPassword(): string {
  return `${randomBytes(24).toString('hex')}-Aa1`;
}

function checkSchemas({ tier, schemas }: InitSettings): void {
  const problems: string[] = [];
  if (tier === 'least' && schemas.length === 0) {
    problems.push('UNDROP_SCHEMAS is not set: expected the schemas for the tier least.');
  }
  if (tier !== 'least' && schemas.length > 0) {
    const why = `expected no schemas, because UNDROP_TIER is ${tier}`;
    problems.push(`UNDROP_SCHEMAS is for the tier least: ${why}.`);
  }
  const others = schemas.filter((schema) => !isUserSchema(schema));
  if (others.length > 0) {
    problems.push(`UNDROP_SCHEMAS: expected schemas of users, found ${others.join(', ')}.`);
  }
  if (problems.length > 0) throw wrongUsage(problems.join('\n'));
}

async function printIt(settings: InitSettings, accountHost: string | null): Promise<string> {
  const { user, tier, schemas, upstream } = settings;
  const { version, server, seenFrom } = await readGreeting(upstream);
  const host = accountHost ?? seenFrom;
  const grants = granting.grantsFor(server, { tier, schemas, isLiteral: false });
  const password = settings.password || newPassword();
  const made = granting.createUserSql({ user, host }, password, {
    requiresTls: requiresTls(settings),
    server,
  });
  const statements = granting.printStatements({ user, host }, made, grants);
  const strict = granting.strictGrants(server, { user, host });
  const mayBeLiteral = server.flavour === 'mysql' && server.versionId >= 80_016;
  return [
    `-- The service account of undrop (tier ${tier}) on ${version}.`,
    ...(tier === 'full' ? [] : [`-- ${limitsOf(tier)}`]),
    ...(accountHost === null ? [`-- It may log in from this host, ${host}. ${ELSE}`] : []),
    ...(settings.password === '' ? [NEW_PASSWORD] : []),
    ...(tier === 'least' && mayBeLiteral ? [IF_LITERAL] : []),
    statements,
    ...(strict === null ? [] : [strict]),
  ].join('\n');
}

function limitsOf(tier: granting.Tier): string {
  return `With the tier ${tier}, ${granting.WITHOUT_FULL}.`;
}

const ELSE =
  'Use --account-host if undrop runs elsewhere, or if an address is translated on the way.';
const NEW_PASSWORD =
  '-- The password was generated for this account: give it to undrop in UNDROP_PASSWORD_FILE.';

/** These settings never use the account without TLS, so its login requires TLS. */
function requiresTls({ upstreamTls }: InitSettings): boolean {
  return ['required', 'verify-ca', 'verify-identity'].includes(upstreamTls);
}

const IF_LITERAL = `-- Where partial_revokes is ON, names are no patterns: take \`undrop init --apply\` there, or write
-- names without backslashes, and for _undrop% one by one _undrop and _undrop_local.`;

async function applyIt(
  settings: InitSettings,
  by: { readonly host: string | null; readonly admin: Awaited<ReturnType<typeof adminOf>> },
): Promise<string> {
  const { user, password, tier, schemas } = settings;
  const wanted = { user, host: by.host };
  const made = { account: wanted, password, tier, schemas, requiresTls: requiresTls(settings) };
  const { account, isNew, grants, refused, absent } = await withPool(
    { ...settings, ...by.admin },
    (pool) => applyAccount(pool, made),
    'UNDROP_ADMIN_ACCOUNT',
  );
  const { host } = account;
  const has = await logIn(settings, { host, isNew });
  const stillHas =
    has !== null && granting.TIERS.indexOf(has) < granting.TIERS.indexOf(tier) ? has : null;
  const what = isNew ? 'was created' : 'existed, and keeps its password';
  return [
    `The account ${user}@${host} ${what}; it has the privileges of the tier ${tier}:`,
    ...grants.map(
      ({ rights, schema, why }) => `  ${rights.join(', ')} on ${schema ?? '*'}: ${why}`,
    ),
    ...refused.map(
      ([{ rights, why }, cause]) => `Not granted: ${rights.join(', ')}, for ${why} (${cause}).`,
    ),
    ...(tier === 'full' ? [] : [limitsOf(tier)]),
    ...absent.map((schema) => `The schema ${schema} does not exist yet.`),
    ...(stillHas === null
      ? []
      : [
          `The account keeps the tier ${stillHas}. To take privileges away (drops are`,
          `refused until the end): ${granting.takeAwayAll(account)}; then run this again.`,
        ]),
    'The ledger is ready. `undrop doctor` checks it again at any time.',
  ].join('\n');
}

/**
 * Logs in as the account itself, which proves that it can and that its privileges are enough.
 * Returns its tier.
 */
async function logIn(
  settings: InitSettings,
  { host, isNew }: { readonly host: string; readonly isNew: boolean },
): Promise<granting.Tier | null> {
  try {
    return await withPool(settings, async (pool) => {
      await ensureLedger(pool);
      return (await examine(pool)).tier;
    });
  } catch (error) {
    if (!(error instanceof UndropError)) throw error;
    const { user, tier, upstream } = settings;
    const [account, cause] = [`${user}@${host}`, rootCause(error)];
    // For an unknown user MySQL picks any plugin.
    const isUnknown = isNew && error.code === 'UNDROP_SERVER_KEY';
    const isOut = isUnknown || error.code === 'UNDROP_ACCOUNT';
    if (isNew) {
      const lacks = isOut ? 'cannot log in from here' : 'without the ledger';
      const what = `with the privileges of the tier ${tier}, but ${lacks}`;
      const instead = isOut ? LOGIN_ELSEWHERE : RUN_AGAIN;
      throw new UndropError('UNDROP_ACCOUNT_UNFINISHED', { account, what, cause, instead }, error);
    }
    if (!isOut) throw error;
    // The account existed before, and its password isn't changed.
    const server = upstream.map(describeAddress).join(', ');
    throw new UndropError('UNDROP_OTHER_PASSWORD', { account, tier, server, cause }, error);
  }
}

const LOGIN_ELSEWHERE =
  'If undrop runs on another host, run `undrop doctor` there; otherwise DROP USER, and run this again with --account-host and this host as the server sees it.';
const RUN_AGAIN = 'Fix the cause, then run this again; the completed steps stay.';
