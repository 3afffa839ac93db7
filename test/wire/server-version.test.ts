/** Product and version, by the version strings that servers greet with. */
import { expect, test } from '@jest/globals';
import { decodeHandshakeV10, parseServerVersion } from '../../src/wire/connection/handshake-v10.js';
import { exchange, payloads } from '../support/conversation.js';

test.each([
  ['9.7.4', 'mysql', 90704],
  ['8.0.23-0ubuntu0.20.04.1', 'mysql', 80023],
  ['5.6.24-log', 'mysql', 50624],
  ['5.5.5-10.11.19-MariaDB-log', 'mariadb', 101119],
  ['5.5.5-10.0.38-MariaDB', 'mariadb', 100038],
  ['11.8.9-MariaDB-ubu2404', 'mariadb', 110809],
  ['5.5.68-MariaDB', 'mariadb', 50568],
  ['8.0.35-27 Percona', 'mysql', 80035],
  ['nothing of the kind', 'mysql', 0],
  ['', 'mysql', 0],
] as const)('%s is %s %d', (text, flavour, versionId) => {
  expect(parseServerVersion(text)).toEqual({ flavour, versionId });
});

test.each([
  ['mysql-9.7', 'mysql', 9_07],
  ['mysql-5.6', 'mysql', 5_06],
  ['mariadb-10.11', 'mariadb', 10_11],
  ['mariadb-11.8', 'mariadb', 11_08],
])('the greeting of %s says so', (server, flavour, series) => {
  const [greeting = Buffer.alloc(0)] = payloads(exchange(`${server}/eof`, 'login'));
  const version = parseServerVersion(decodeHandshakeV10(greeting).serverVersion);
  expect(version.flavour).toBe(flavour);
  expect(Math.floor(version.versionId / 100)).toBe(series);
});
