/**
 * The service account's own logins with somebody on the way to the server, who answers in its place
 * with a key or a certificate of their own: they don't get the password. Real servers:
 * server/service.test.ts.
 */

import type { ServiceTls } from '../../../src/connections/login/driver-login.js';
import type { ServerKeySetting } from '../../../src/connections/login/server-key.js';
import { openServicePool } from '../../../src/connections/pool/open-pool.js';
import { greet } from '../../../src/connections/pool/pool-set.js';
import { UndropError } from '../../../src/errors.js';
import { silentLog } from '../../../src/log.js';
import { type Certificates, makeCertificates } from '../../support/certificates.js';
import { type KeyThief, type Loot, openKeyThief, type Trick } from '../../support/key-thief.js';

const PASSWORD = 'the sëcret';
const PREFERRED: ServiceTls = {
  ...{ isOptional: true, verifies: false, verifiesName: false, ca: null, identity: null },
};
const REQUIRED: ServiceTls = { ...PREFERRED, isOptional: false };

let files: Certificates;
let thief: KeyThief;

beforeAll(async () => {
  files = makeCertificates();
  thief = await openKeyThief(PASSWORD, { asks: 'caching_sha2_password', certificate: null });
});

afterAll(async () => {
  await thief.close();
  files.remove();
});

interface Way {
  readonly tls?: ServiceTls | null;
  readonly serverKey?: ServerKeySetting;
  readonly log?: typeof silentLog;
  readonly password?: string;
}

const open: { dispose(): Promise<void> }[] = [];

afterEach(async () => {
  for (const pool of open.splice(0)) await pool.dispose();
});

function poolOn({ host, port }: KeyThief, way: Way) {
  const address = { host, port };
  const account = { user: 'undrop', password: PASSWORD };
  const pool = openServicePool({ address, ...account, connectionsMax: 2, log: silentLog, ...way });
  open.push(pool);
  return { pool, address };
}

/** What somebody on the way gets of a login, and what the service makes of it. */
async function robbed(trick: Trick, way: Way): Promise<{ loot: Loot; code: string; said: string }> {
  thief.trick = trick;
  const { pool, address } = poolOn(thief, way);
  const error = await greet(pool, address).then(
    () => null,
    (reason: unknown) => reason,
  );
  const isOurs = error instanceof UndropError;
  return {
    loot: await thief.loot(),
    code: isOurs ? error.code : 'let in',
    said: isOurs ? error.message : '',
  };
}

const NO_TLS: Way = { tls: null, serverKey: 'ask' };
const IN_TLS: Way = { tls: REQUIRED, serverKey: 'ask' };
const IN_CLEAR = /it requested the password in clear/;
const SHA2 = 'caching_sha2_password';
const [KEY, OTHER_KEY] = [{ pinned: Buffer.from('a key') }, { pinned: Buffer.from('another') }];
const UNVERIFIED = /^UNDROP_SERVER_KEY .*its key could not be verified/;
const NOT_PINNED = /its key is not the one in UNDROP_UPSTREAM_PUBLIC_KEY/;
const NOT_CHECKED = /^UNDROP_SERVER_KEY .*UNDROP_UPSTREAM_TLS neither requires TLS nor/;

/** `words`: of the error; null: the password comes out. */
test.each<[string, Trick['asks'], 'plain' | 'tls', Way, RegExp | null]>([
  ['by a key of its own', SHA2, 'plain', {}, UNVERIFIED],
  ['in the place of a known server', SHA2, 'plain', { serverKey: OTHER_KEY }, NOT_PINNED],
  ['where any key is to be believed', SHA2, 'plain', { serverKey: 'ask' }, null],
  ['where TLS is optional', SHA2, 'tls', { tls: PREFERRED, serverKey: 'auto' }, NOT_CHECKED],
  ['where that and a key is known', SHA2, 'tls', { tls: PREFERRED, serverKey: KEY }, NOT_CHECKED],
  ['in TLS that was asked for and is not checked', SHA2, 'tls', { tls: REQUIRED }, null],
  ['without TLS, which was optional', SHA2, 'plain', { tls: PREFERRED }, /^UNDROP_SERVER_KEY /],
  ['by sha256', 'sha256_password', 'plain', NO_TLS, /^UNDROP_SERVER_KEY /],
  ['by sha256', 'sha256_password', 'tls', IN_TLS, /^UNDROP_SERVER_KEY /],
  ['in clear', 'mysql_clear_password', 'plain', NO_TLS, IN_CLEAR],
  ['in clear', 'mysql_clear_password', 'tls', IN_TLS, IN_CLEAR],
])('a peer that asks %s, %s, %s', async (_what, asks, leg, way, words) => {
  const certificate = leg === 'tls' ? files : null;
  const { loot, code, said } = await robbed({ asks, certificate }, way);
  expect(loot).toEqual({ hasPassword: words === null, wasLeft: false, inTls: leg === 'tls' });
  if (words !== null) expect(`${code} ${said}`).toMatch(words);
});

test('a connection that can have no TLS is warned of, and the next one has it again', async () => {
  const warned: string[] = [];
  const warn = (_fields: unknown, said: string) => warned.push(said);
  const log = { ...silentLog, warn } as typeof silentLog;
  const way = { tls: PREFERRED, serverKey: 'ask', log, password: 'a wrong one' } as const;
  const { pool, address } = poolOn(thief, way);
  const seen: boolean[] = [];
  for (const certificate of [null, null, files, null]) {
    thief.trick = { asks: 'caching_sha2_password', certificate };
    await expect(greet(pool, address)).rejects.toMatchObject({ code: 'UNDROP_ACCOUNT' });
    seen.push((await thief.loot()).inTls);
  }
  expect(seen).toEqual([false, false, true, false]);
  const said = 'the server does not offer TLS; the service account logs in without it';
  expect(warned).toEqual([said, said]);
});
