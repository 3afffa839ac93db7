/** Which capabilities go through: by allow-list, in both directions. */
import { describe, expect, test } from '@jest/globals';
import {
  agreedCapabilities,
  CLIENT_COMPRESS,
  CLIENT_DEPRECATE_EOF,
  CLIENT_LONG_PASSWORD,
  CLIENT_QUERY_ATTRIBUTES,
  CLIENT_REMEMBER_OPTIONS,
  CLIENT_SSL,
  CLIENT_ZSTD_COMPRESSION_ALGORITHM,
  hasFlag,
  relayedCapabilities,
} from '../../src/wire/capabilities.js';

const ALL = { flags: 0xffffffff, mariadb: 0xffffffff };

describe('of everything offered', () => {
  const { flags, mariadb } = relayedCapabilities(ALL);

  test('compression, TLS and the reserved extension are held back (wire 20, 48)', () => {
    const heldBack = Array.from({ length: 32 }, (_, bit) => bit).filter(
      (bit) => ((flags >>> bit) & 1) === 0,
    );
    expect(heldBack).toEqual([5, 11, 26, 29]);
    expect(CLIENT_COMPRESS).toBe(1 << 5);
    expect(CLIENT_SSL).toBe(1 << 11);
    expect(CLIENT_ZSTD_COMPRESSION_ALGORITHM).toBe(1 << 26);
  });

  test('of MariaDB’s own, COM_MULTI and whatever is unknown (wire 15)', () => {
    const through = Array.from({ length: 32 }, (_, bit) => bit).filter(
      (bit) => ((mariadb >>> bit) & 1) === 1,
    );
    expect(through).toEqual([0, 2, 3, 4, 5]);
  });

  test('both words stay unsigned', () => {
    expect(flags).toBeGreaterThan(0);
    expect(hasFlag({ flags, mariadb }, CLIENT_REMEMBER_OPTIONS)).toBe(true);
  });
});

test('the bit that tells MariaDB’s word is passed on as it is', () => {
  expect(relayedCapabilities({ flags: CLIENT_LONG_PASSWORD, mariadb: 0 }).flags).toBe(1);
  expect(relayedCapabilities({ flags: 0, mariadb: 4 })).toEqual({ flags: 0, mariadb: 4 });
});

test('agreed is what both sides have', () => {
  const server = { flags: CLIENT_DEPRECATE_EOF | 2, mariadb: 5 };
  const client = { flags: CLIENT_DEPRECATE_EOF | CLIENT_QUERY_ATTRIBUTES, mariadb: 4 };
  expect(agreedCapabilities(server, client)).toEqual({ flags: CLIENT_DEPRECATE_EOF, mariadb: 4 });
});
