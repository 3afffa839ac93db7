/**
 * The service account's own logins with somebody on the way to the server, who answers in its place
 * with a key or a certificate of their own: they don't get the password. Real servers:
 * server/service-logins.test.ts.
 */
import { UndropError } from '../../../src/errors.js';
import { silentLog } from '../../../src/log.js';
import type { ServiceTls } from '../../../src/service/login/driver-login.js';
import type { ServerKeySetting } from '../../../src/service/login/server-key.js';
import { openServicePool } from '../../../src/service/pool/open-pool.js';
import { greet } from '../../../src/service/pool/pool-set.js';
import { type Certificates, makeCertificates } from '../../support/certificates.js';
import { type KeyThief, type Loot, openKeyThief, type Trick } from '../../support/key-thief.js';

const PASSWORD = 'the sëcret';
const PREFERRED: ServiceTls = {
  isOptional: true,
  verifies: false,
  verifiesName: false,
  ca: null,
  identity: null,
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

const KEPT = { hasPassword: false, wasLeft: false };
describe('a peer that asks for the password by caching_sha2_password', () => {
  const asks = 'caching_sha2_password';

  test('does not get it by a key of its own', async () => {
    const { loot, code, said } = await robbed({ asks, certificate: null }, {});
    expect(loot).toEqual({ ...KEPT, inTls: false });
    expect(code).toBe('UNDROP_SERVER_KEY');
    expect(said).toContain('its key could not be verified');
  });

  test('does not get it in the place of a server whose key is known', async () => {
    const pinned = Buffer.from('another key');
    const { loot, said } = await robbed({ asks, certificate: null }, { serverKey: { pinned } });
    expect(loot).toEqual({ ...KEPT, inTls: false });
    expect(said).toContain('its key is not the one in UNDROP_UPSTREAM_PUBLIC_KEY');
  });

  test('gets it where any key is to be believed', async () => {
    const { loot } = await robbed({ asks, certificate: null }, { serverKey: 'ask' });
    expect(loot.hasPassword).toBe(true);
  });

  test.each([['auto'], [{ pinned: Buffer.from('a key') }]] as const)(
    'does not get it by a certificate of its own where TLS is optional (%j)',
    async (serverKey) => {
      const way = { tls: PREFERRED, serverKey };
      const { loot, code, said } = await robbed({ asks, certificate: files }, way);
      expect(loot).toEqual({ ...KEPT, inTls: true });
      expect(code).toBe('UNDROP_SERVER_KEY');
      expect(said).toContain('UNDROP_UPSTREAM_TLS neither requires TLS nor');
    },
  );

  test('gets it in TLS that was asked for and is not checked', async () => {
    const { loot } = await robbed({ asks, certificate: files }, { tls: REQUIRED });
    expect(loot).toMatchObject({ inTls: true, hasPassword: true });
  });

  test('does not get it without TLS, which was optional', async () => {
    const { loot, code } = await robbed({ asks, certificate: null }, { tls: PREFERRED });
    expect(loot).toEqual({ ...KEPT, inTls: false });
    expect(code).toBe('UNDROP_SERVER_KEY');
  });
});

test.each(['plain', 'tls'])('one that asks by sha256_password (%s) gets nothing', async (leg) => {
  const certificate = leg === 'tls' ? files : null;
  const tls = leg === 'tls' ? REQUIRED : null;
  const trick = { asks: 'sha256_password', certificate } as const;
  const { loot, code } = await robbed(trick, { tls, serverKey: 'ask' });
  expect(loot).toEqual({ ...KEPT, inTls: leg === 'tls' });
  expect(code).toBe('UNDROP_SERVER_KEY');
});

test.each(['plain', 'tls'])('one that asks for it in clear (%s) gets nothing', async (leg) => {
  const certificate = leg === 'tls' ? files : null;
  const trick = { asks: 'mysql_clear_password', certificate } as const;
  const tls = leg === 'tls' ? REQUIRED : null;
  const { loot, said } = await robbed(trick, { tls, serverKey: 'ask' });
  expect(loot).toEqual({ ...KEPT, inTls: leg === 'tls' });
  expect(said).toContain('it requested the password in clear');
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
