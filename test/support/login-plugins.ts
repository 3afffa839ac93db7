/**
 * The login plugins of each server of the set that know a password, and what a server has to be
 * started with for them and for TLS. Invariant: the lists are complete; what a server can't do is
 * a fact with a test (tls-logins.test.ts), never left out silently.
 */
import { createPrivateKey } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Certificates } from './certificates.js';

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

/**
 * The TLS of this build of MySQL 5.6 can't be relied on: it is TLS 1.0, which clients of today
 * don't do by themselves, and at times it breaks every handshake off before its own first byte.
 */
export const SERVERS_WITHOUT_TLS: ReadonlySet<string> = new Set(['mysql-5.6']);

/**
 * Options for `startServer`. MySQL 9.7 makes its own certificates; 5.6 takes no key in PKCS #8, and
 * then is silently without TLS.
 */
export function tlsOptions(name: string, files: Certificates): readonly string[] {
  if (name === 'mysql-9.7') return [];
  let { key } = files;
  if (SERVERS_WITHOUT_TLS.has(name)) {
    const read = createPrivateKey(readFileSync(key));
    key = join(files.folder, 'old-key.pem');
    writeFileSync(key, read.export({ type: 'pkcs1', format: 'pem' }));
  }
  return [`--ssl-ca=${files.ca}`, `--ssl-cert=${files.cert}`, `--ssl-key=${key}`];
}
