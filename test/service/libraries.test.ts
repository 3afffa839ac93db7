/**
 * The libraries whose insides undrop uses or replaces: another version fails here, before it fails
 * anywhere else, with the places to read again.
 */
import { expect, test } from '@jest/globals';
import { readText } from '../support/source-file.js';

const READ = [
  ['@databases/mysql', '7.1.0', 'letUsOpen in databases.ts, driverClientOf in pool/lease.ts'],
  ['@databases/mysql-config', '4.0.0', 'changeModules in scripts/bundle.mjs'],
  ['mysql2', '3.24.5', 'DriverClient and below it in pool/lease.ts, letUsOpen in databases.ts'],
  ['jsonc-parser', '3.3.1', 'alias in scripts/bundle.mjs'],
] as const;

test.each(READ)('%s is of version %s, of which these were read: %s', (name, version, _read) => {
  const found = JSON.parse(readText(`node_modules/${name}/package.json`)) as { version: string };
  expect(found.version).toBe(version);
});
