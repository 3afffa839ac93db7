/**
 * How the service account logs in to real servers: by a key that is known, and by no other; by a
 * password file that changes meanwhile. It opens the pool itself, because no command reports which
 * of its connections logs in when, and by which key. With somebody on the way to the server:
 * service/login/driver-login.test.ts. By a client certificate: lent-tls.test.ts.
 */
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { UndropError } from '../../src/errors.js';
import { silentLog } from '../../src/log.js';
import { spkiOf } from '../../src/service/login/server-key.js';
import { openServicePool, type ServicePoolOptions } from '../../src/service/pool/open-pool.js';
import { greet } from '../../src/service/pool/pool-set.js';
import { sql } from '../../src/service/sql.js';
import { temporaryFolder } from '../support/folders.js';
import { connect, query, testServers } from '../support/servers.js';

const PASSWORD = 'pa$$ wörd;';
const TLS = { isOptional: false, ca: null, identity: null };
const UNCHECKED = { ...TLS, verifies: false, verifiesName: false };

describe.each(testServers())('logins of the service account on $name', (server) => {
  const { name, host, port } = server;

  async function withPool<T>(
    options: Partial<ServicePoolOptions>,
    work: (pool: ReturnType<typeof openServicePool>) => Promise<T>,
  ): Promise<T> {
    const pool = openServicePool({
      ...{ address: { host, port }, user: 'key_of_it', password: PASSWORD },
      ...{ connectionsMax: 3, log: silentLog, ...options },
    });
    try {
      return await work(pool);
    } finally {
      await pool.dispose();
    }
  }

  test('a password file is read for each connection', async () => {
    await using folder = await temporaryFolder('password');
    const passwordFile = join(folder.path, 'password');
    writeFileSync(passwordFile, 'old\n');
    await query(server, "CREATE USER rotated@'%' IDENTIFIED BY 'old'");
    try {
      const user = 'rotated';
      await withPool({ user, password: 'old', passwordFile }, async (pool) => {
        await pool.task(async (first) => {
          await first.run(sql`SELECT 1`);
          const change = name === 'mysql-5.6' ? 'SET PASSWORD FOR' : 'ALTER USER';
          const to = name === 'mysql-5.6' ? "= PASSWORD('new')" : "IDENTIFIED BY 'new'";
          await query(server, `${change} rotated@'%' ${to}`);
          // MySQL 9.7 lets the old password in from its cache until the new one was used.
          const another = await connect({ host, port, user, password: 'new' });
          await another.end();
          writeFileSync(passwordFile, 'new\n');
          // The first connection is taken, so this is another one.
          await pool.run(sql`SELECT 1`);
          // In the middle of a rotation it may be gone for a moment.
          rmSync(passwordFile);
          await pool.task(async (third) => {
            await third.run(sql`SELECT 1`);
            await first.run(sql`SELECT 1`);
          });
        });
      });
    } finally {
      await query(server, "DROP USER rotated@'%'");
    }
  });

  if (name !== 'mysql-9.7') return;

  describe('caching_sha2_password', () => {
    const plugin = 'caching_sha2_password';

    beforeAll(async () => {
      await query(server, `CREATE USER key_of_it@'%' IDENTIFIED WITH ${plugin} BY '${PASSWORD}'`);
    });

    afterAll(() => query(server, "DROP USER key_of_it@'%'"));

    let changes = 0;

    /** What it asks for is the password itself: nothing of it is in its cache. */
    const coldLogin = async (options: Partial<ServicePoolOptions>): Promise<string> => {
      const password = `${PASSWORD}${changes++}`;
      await query(server, `ALTER USER key_of_it@'%' IDENTIFIED WITH ${plugin} BY '${password}'`);
      return withPool({ password, ...options }, (pool) =>
        greet(pool, { host, port }).then(
          () => 'in',
          (error: unknown) => (error instanceof UndropError ? error.code : 'another error'),
        ),
      );
    };

    test('lets the account in by the key that is pinned, and by no other', async () => {
      const [status] = await query<{ Value: string }>(
        server,
        "SHOW STATUS LIKE 'Caching_sha2_password_rsa_public_key'",
      );
      const key = createPublicKey(status?.Value ?? '');
      expect(await coldLogin({ serverKey: { pinned: spkiOf(key) } })).toBe('in');
      const other = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey;
      const refused = await coldLogin({ serverKey: { pinned: spkiOf(other) } });
      expect(refused).toBe('UNDROP_SERVER_KEY');
    });

    test('lets it in in TLS, and on this machine without', async () => {
      expect(await coldLogin({ tls: UNCHECKED })).toBe('in');
      expect(await coldLogin({})).toBe('in');
      expect(await coldLogin({ password: 'another' })).toBe('UNDROP_ACCOUNT');
    });
  });

  test('sha256_password is refused in TLS too', async () => {
    const account = `old_plugin@'%' IDENTIFIED WITH sha256_password BY '${PASSWORD}'`;
    await query(server, `CREATE USER ${account}`);
    const options = { user: 'old_plugin', tls: UNCHECKED };
    const greeting = withPool(options, (pool) => greet(pool, { host, port }));
    await expect(greeting).rejects.toMatchObject({ code: 'UNDROP_SERVER_KEY' });
    await query(server, "DROP USER old_plugin@'%'");
  });
});
