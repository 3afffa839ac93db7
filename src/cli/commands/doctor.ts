/**
 * `undrop doctor` says whether the server is one that undrop knows, which privileges the service
 * account lacks, whether the settings hold what is dropped, which programs drop tables unseen, and
 * which tables are torn. It changes nothing; its exit code is 1 if drops would be refused, or held
 * in part or not at all.
 */
import { userInfo } from 'node:os';
import { type Examination, examine } from '../../account/examine.js';
import { accountsOf, lentWords } from '../../account/os-user.js';
import type { Program } from '../../account/programs.js';
import { findStranger } from '../../lifecycle/leader/collector-lock.js';
import { describeAddress } from '../../service/errors.js';
import { isOnThisMachine } from '../../service/login/server-key.js';
import type { ServerAddress } from '../../service/pool/pools.js';
import { HOW_TO_MEND } from '../../undo/format.js';
import {
  type AccountSettings,
  DESTROY_ALLOWED,
  type DoctorSettings,
  leavesOut,
  notProtectedBy,
  whyNotHeldBy,
} from '../settings.js';
import { type Out, withPool } from './with-pool.js';

/** More names than this are a list for --json. */
const NAMES_MAX = 20;

export function runDoctor(
  settings: DoctorSettings,
  options: { readonly json: boolean },
  out: Out,
): Promise<number> {
  return withPool(settings, async (pool) => {
    const found = await examine(pool, { wanted: settings.schemas });
    const { mode, protect, allowDestroy, lendTls } = settings;
    const notProtected = notProtectedBy(settings);
    const osUser = userInfo().username;
    const isLocal = settings.upstream.some((upstream) => 'socketPath' in upstream);
    const lent = isLocal ? ((await accountsOf(osUser, pool)) ?? []) : [];
    const ways = settings.upstream.map((upstream) => wayTo(upstream, settings));
    const stranger = await findStranger(pool);
    const lockedBy = stranger === null ? [] : [stranger];
    const set = { mode, protect, notProtected, allowDestroy, lendTls };
    const all = { ...found, ways, lent, ...set, lockedBy };
    const lines = [
      formatExamination(found, settings, lent),
      ...lockedBy.map((words) => `collector ${words}, ${STRANGER}`),
    ];
    const text = options.json ? JSON.stringify(all, null, 2) : lines.join('\n');
    out.write(`${text}\n`);
    const { notHeld, torn } = found;
    const isPartly = notHeld.length + notProtected.length + torn.length + lent.length > 0;
    return found.tier === null || isPartly ? 1 : 0;
  });
}

const STRANGER = 'the lock of collectors, and is none of undrop: nobody waits for it';
const TLS_LENT =
  'UNDROP_LEND_TLS=on: what undrop has of TLS there counts for its clients, whatever they have';

/** What a proxy would do by these settings. */
type HoldSettings = Pick<DoctorSettings, 'mode' | 'protect' | 'allowDestroy'>;

function formatExamination(
  found: Examination,
  settings: DoctorSettings,
  lent: readonly string[],
): string {
  return [
    ...formatServer(found),
    ...settings.upstream.map((upstream) => `way       ${wayTo(upstream, settings)}`),
    ...(lent.length === 0 ? [] : [`          ${lentWords(userInfo().username, lent)}`]),
    ...(settings.lendTls === 'on' ? [`          ${TLS_LENT}`] : []),
    ...formatRights(found),
    ...formatSettings(settings),
    ...formatSchemas(found),
    ...(found.torn.length === 0 ? [] : [`torn      ${listed(found.torn)}: ${HOW_TO_MEND}`]),
    ...formatPrograms(found),
  ].join('\n');
}

function formatServer({ server, readOnly }: Examination): readonly string[] {
  const tested = server.isTested ? 'every test runs on this version' : 'not a version of the tests';
  return [
    `server    ${server.name} ${server.version}: ${tested}`,
    ...(readOnly ? ['          It is read-only: nothing is collected there.'] : []),
  ];
}

function formatRights({ account, tier, missing }: Examination): readonly string[] {
  const what = tier === null ? 'rights are missing' : `tier ${tier}`;
  return [
    `account   ${account}: ${what}`,
    ...missing.map(({ right, schemas, isEssential, without }) => {
      const where = schemas === null ? '' : ` on ${listed(schemas)}`;
      return `  ${isEssential ? 'missing' : 'without'} ${right}${where}: ${without}`;
    }),
  ];
}

function formatSettings(settings: HoldSettings): readonly string[] {
  const { mode, protect } = settings;
  if (mode !== 'hold') return [`settings  ${whyNotHeldBy(mode)}`];
  const missing = notProtectedBy(settings);
  const held =
    missing.length > 0 ? leavesOut(missing) : `held is what ${protect.join(', ')} would destroy`;
  const hints = settings.allowDestroy === 'users' ? [`          ${DESTROY_ALLOWED}`] : [];
  return [`settings  ${held}`, ...hints];
}

function formatSchemas(found: Examination): readonly string[] {
  const { held, heldInPlace, refused, notHeld } = found;
  const others = [
    { what: 'held where they are, under their hold names', schemas: heldInPlace },
    { what: 'no rights, drops are refused', schemas: refused },
    { what: 'in UNDROP_SCHEMAS and not held: not there, or no rights', schemas: notHeld },
  ];
  return [
    `schemas   held: ${held.length === 0 ? 'none' : listed(held)}`,
    ...others
      .filter(({ schemas }) => schemas.length > 0)
      .map(({ what, schemas }) => `          ${what}: ${listed(schemas)}`),
  ];
}

function formatPrograms({ programs, seesAllPrograms }: Examination): readonly string[] {
  const unseen = seesAllPrograms ? [] : [`          ${UNSEEN}`];
  if (programs.length === 0) {
    const none = seesAllPrograms ? 'none drops tables' : 'none of those that are seen drops tables';
    return [`programs  ${none}`, ...unseen];
  }
  return [...formatFound(programs), ...unseen];
}

const UNSEEN =
  'This account may not see all procedures and functions: that takes SELECT on the whole server.';

function formatFound(programs: readonly Program[]): readonly string[] {
  const groups = [
    { does: 'drops', words: 'drop tables inside of the server, which undrop does not see' },
    { does: 'may drop', words: 'run texts that may drop tables, which undrop does not see' },
    { does: 'unread', words: 'can’t be read by this account' },
  ] as const;
  return groups.flatMap(({ does, words }, index) => {
    const names = programs
      .filter((program) => program.does === does)
      .map(({ schema, name, kind }) => `${schema}.${name} (${kind})`);
    if (names.length === 0) return [];
    const title = index === 0 || !programs.some((program) => program.does === 'drops');
    return [`${title ? 'programs' : '        '}  ${words}: ${listed(names)}`];
  });
}

function listed(names: readonly string[]): string {
  const more = names.length - NAMES_MAX;
  return names.slice(0, NAMES_MAX).join(', ') + (more > 0 ? ` and ${more} more` : '');
}

/** A sentence without its end. */
function wayTo(upstream: ServerAddress, settings: AccountSettings): string {
  return `to ${describeAddress(upstream)} ${how(upstream, settings)}`;
}

function how(upstream: ServerAddress, settings: AccountSettings): string {
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
