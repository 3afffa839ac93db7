/**
 * The login plugins of each server of the set that know a password, and what a server has to be
 * started with for them and for TLS. Invariant: the lists are complete; what a server can't do is
 * a fact with a test (tls-logins.test.ts), never left out silently.
 */
import { createPrivateKey } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Certificates } from './certificates.js';
import { ensureInstalled } from './server-set.js';

export interface LoginPlugin {
  readonly plugin: string;
  /** The library that it is in; null where it is built in. */
  readonly library: string | null;
  /** How an account with that password says so. */
  readonly identified: (password: string) => string;
}

const NATIVE: LoginPlugin = {
  plugin: 'mysql_native_password',
  library: null,
  identified: (password) => `IDENTIFIED BY '${password}'`,
};

const ofMysql = (plugin: string): LoginPlugin => ({
  plugin,
  library: null,
  identified: (password) => `IDENTIFIED WITH ${plugin} BY '${password}'`,
});

const ofMariadb = (plugin: string, library: string): LoginPlugin => ({
  plugin,
  library,
  identified: (password) => `IDENTIFIED VIA ${plugin} USING PASSWORD('${password}')`,
});

/** MySQL 9 has no mysql_native_password any more. */
export const LOGIN_PLUGINS: Readonly<Record<string, readonly LoginPlugin[]>> = {
  'mysql-9.7': [ofMysql('caching_sha2_password'), ofMysql('sha256_password')],
  'mysql-5.6': [NATIVE],
  'mariadb-10.11': [NATIVE, ofMariadb('ed25519', 'auth_ed25519')],
  'mariadb-11.8': [
    NATIVE,
    ofMariadb('ed25519', 'auth_ed25519'),
    ofMariadb('parsec', 'auth_parsec'),
    ofMariadb('caching_sha2_password', 'auth_mysql_sha2'),
  ],
};

/** Options for `startServer`: the plugins load at the start only, as one makes its key then. */
export function pluginOptions(name: string): readonly string[] {
  const libraries = (LOGIN_PLUGINS[name] ?? []).flatMap(({ library }) => library ?? []);
  return [
    ...libraries.map((library) => `--plugin-load-add=${library}`),
    '--loose-caching-sha2-password-auto-generate-rsa-keys=ON',
  ];
}

/** TLS of this build of MySQL 5.6 is broken for every client, before its first byte. */
export const SERVERS_WITHOUT_TLS: ReadonlySet<string> = new Set(['mysql-5.6']);

/**
 * Options for `startServer`. MySQL 9.7 makes its own certificates; 5.6 has those as well, as its
 * library knows neither keys in PKCS #8 nor authorities with an EC key.
 */
export async function tlsOptions(name: string, files: Certificates): Promise<readonly string[]> {
  const options = (ca: string, cert: string, key: string) => [
    `--ssl-ca=${ca}`,
    `--ssl-cert=${cert}`,
    `--ssl-key=${key}`,
  ];
  if (name === 'mysql-9.7') return [];
  if (name !== 'mysql-5.6') return options(files.ca, files.cert, files.key);
  const { template } = await ensureInstalled('mysql-9.7');
  const at = (file: string) => join(template, 'data', file);
  const key = createPrivateKey(readFileSync(at('server-key.pem')));
  const oldKey = join(files.folder, 'old-key.pem');
  writeFileSync(oldKey, key.export({ type: 'pkcs1', format: 'pem' }));
  return options(at('ca.pem'), at('server-cert.pem'), oldKey);
}
