/**
 * `undrop doctor` says whether the server is one that undrop knows, which privileges the service
 * account lacks, whether the settings hold what is dropped, which programs drop tables unseen, and
 * which tables are torn, or back and not whole. It changes nothing; its exit code is 1 if drops
 * would be refused, or held in part or not at all.
 */
import { userInfo } from 'node:os';
import { type Examination, examine } from '../../account/examine.js';
import { accountsOf, lentAccountsText } from '../../account/os-user.js';
import type { Program } from '../../account/programs.js';
import { findStranger } from '../../lifecycle/leader/collector-lock.js';
import { findUnfinishedRestores, type Unfinished } from '../../recovery/finish-restores.js';
import { describeAddress } from '../../service/errors.js';
import { isOnThisMachine } from '../../service/login/server-key.js';
import { type ServerAddress, unlessRefused } from '../../service/pool/pools.js';
import { HOW_TO_MEND } from '../../undo/format.js';
import { ABSENT_TABLE } from '../../wire/server-errors.js';
import { type AccountSettings, type DoctorSettings, whatIsNotHeld } from '../settings.js';
import type { Flags, Shell } from '../shell.js';
import { withPool } from './with-pool.js';

/** More names than this are a list for --json. */
const NAMES_MAX = 20;

export function runDoctor(
  settings: DoctorSettings,
  flags: Flags,
  { stdout }: Shell,
): Promise<number> {
  return withPool(settings, async (pool) => {
    const { schemas, upstream, mode, protect, allowDestroy, lendTls } = settings;
    const found = await examine(pool, { wanted: schemas });
    const isLocal = upstream.some((one) => 'socketPath' in one);
    const lent = isLocal ? ((await accountsOf(userInfo().username, pool)) ?? []) : [];
    const stranger = await findStranger(pool);
    const lockedBy = stranger === null ? [] : [stranger];
    const { notProtected, sentences } = whatIsNotHeld(settings);
    const ways = upstream.map((one) => `to ${describeAddress(one)} ${wayTo(one, settings)}`);
    const set = { mode, protect, notProtected, allowDestroy, lendTls };
    const unfinished = await unlessRefused(findUnfinishedRestores(pool), [], ...ABSENT_TABLE);
    const report: Report = { ...found, ...set, ways, lent, lockedBy, unfinished };
    const text =
      flags['json'] === true ? JSON.stringify(report, null, 2) : formatReport(report, sentences);
    stdout.write(`${text}\n`);
    const isPartly = [found.notHeld, notProtected, found.torn, lent].some(
      ({ length }) => length > 0,
    );
    return found.tier === null || isPartly ? 1 : 0;
  });
}

interface Report
  extends Examination,
    Pick<DoctorSettings, 'mode' | 'protect' | 'allowDestroy' | 'lendTls'> {
  /** How the server is reached, by each of its addresses; sentences without their end. */
  readonly ways: readonly string[];
  readonly notProtected: readonly string[];
  /** Accounts that are open to the OS user of undrop. */
  readonly lent: readonly string[];
  readonly lockedBy: readonly string[];
  /** Tables that are back, and not whole. */
  readonly unfinished: readonly Unfinished[];
}

const TLS_LENT =
  'UNDROP_LEND_TLS=on: what undrop has of TLS there counts for its clients, whatever they have';
const STRANGER = 'the lock of collectors, and is none of undrop: nobody waits for it';

/** Each part begins with its title. */
function formatReport(report: Report, notHeld: readonly string[]): string {
  const { ways, lent, lendTls, protect, notProtected, torn, lockedBy, unfinished } = report;
  const parts: Readonly<Record<string, readonly string[]>> = {
    server: serverLines(report),
    way: [
      ...ways,
      ...(lent.length === 0 ? [] : [lentAccountsText(userInfo().username, lent)]),
      ...(lendTls === 'on' ? [TLS_LENT] : []),
    ],
    account: accountLines(report),
    settings: [
      ...(notProtected.length === 0 ? [`held is what ${protect.join(', ')} would destroy`] : []),
      ...notHeld,
    ],
    schemas: schemaLines(report),
    torn: torn.length === 0 ? [] : [`${listed(torn)}: ${HOW_TO_MEND}`],
    restores: unfinished.map(({ what, missing }) => `${what} is not whole: ${missing}`),
    programs: programLines(report),
    collector: lockedBy.map((words) => `${words}, ${STRANGER}`),
  };
  return Object.entries(parts)
    .flatMap(([title, lines]) =>
      lines.map((line, index) => `${(index === 0 ? title : '').padEnd(9)} ${line}`),
    )
    .join('\n');
}

function serverLines({ server, readOnly }: Report): readonly string[] {
  const tested = server.isTested ? 'every test runs on this version' : 'not a version of the tests';
  return [
    `${server.name} ${server.version}: ${tested}`,
    ...(readOnly ? ['It is read-only: nothing is collected there.'] : []),
  ];
}

function accountLines({ account, tier, missing }: Report): readonly string[] {
  return [
    `${account}: ${tier === null ? 'rights are missing' : `tier ${tier}`}`,
    ...missing.map(({ right, schemas, isEssential, without }) => {
      const where = schemas === null ? '' : ` on ${listed(schemas)}`;
      return `${isEssential ? 'missing' : 'without'} ${right}${where}: ${without}`;
    }),
  ];
}

function schemaLines({ held, heldInPlace, refused, notHeld }: Report): readonly string[] {
  const others = {
    'held where they are, under their hold names': heldInPlace,
    'no rights, drops are refused': refused,
    'in UNDROP_SCHEMAS and not held: not there, or no rights': notHeld,
  };
  return [`held: ${held.length === 0 ? 'none' : listed(held)}`, ...linesOf(others)];
}

function programLines({ programs, seesAllPrograms }: Report): readonly string[] {
  const namesOf = (does: Program['does']) =>
    programs
      .filter((program) => program.does === does)
      .map(({ schema, name, kind }) => `${schema}.${name} (${kind})`);
  const found = linesOf({
    'drop tables inside of the server, which undrop does not see': namesOf('drops'),
    'run texts that may drop tables, which undrop does not see': namesOf('may drop'),
    'can’t be read by this account': namesOf('unread'),
  });
  if (seesAllPrograms) return found.length > 0 ? found : ['none drops tables'];
  return [...(found.length > 0 ? found : ['none of those that are seen drops tables']), UNSEEN];
}

const UNSEEN =
  'This account may not see all procedures and functions: that takes SELECT on the whole server.';

/** `names` by what is said of them; what is said of nothing is left out. */
function linesOf(names: Readonly<Record<string, readonly string[]>>): readonly string[] {
  return Object.entries(names)
    .filter(([, some]) => some.length > 0)
    .map(([what, some]) => `${what}: ${listed(some)}`);
}

function listed(names: readonly string[]): string {
  const more = names.length - NAMES_MAX;
  return names.slice(0, NAMES_MAX).join(', ') + (more > 0 ? ` and ${more} more` : '');
}

function wayTo(upstream: ServerAddress, settings: AccountSettings): string {
  const { upstreamTls, upstreamPublicKey } = settings;
  if ('socketPath' in upstream) return 'over a unix socket';
  if (upstreamTls === 'verify-identity') return 'in TLS; its certificate and name are checked';
  if (upstreamTls === 'verify-ca') return 'in TLS; its certificate is checked';
  if (isOnThisMachine(upstream)) return 'on this machine';
  if (upstreamTls === 'required') {
    return 'in TLS; its certificate is not checked, so whoever answers in its place gets the password: set UNDROP_UPSTREAM_TLS to verify-identity or verify-ca';
  }
  if (upstreamPublicKey === 'ask') {
    return 'with any key that comes, so whoever answers in its place gets the password: set UNDROP_UPSTREAM_TLS to verify-identity or verify-ca';
  }
  if (upstreamPublicKey !== 'auto') {
    return 'perhaps without TLS; the password goes by the key in UNDROP_UPSTREAM_PUBLIC_KEY alone, all else can be read on the way';
  }
  return 'with nothing that shows who it is: logins by caching_sha2_password that take the password itself are refused, as each first one after a start of the server does; set UNDROP_UPSTREAM_TLS to verify-identity or verify-ca';
}
