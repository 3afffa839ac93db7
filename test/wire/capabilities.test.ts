/** Which capabilities go through: by allow-list, in both directions. */
import * as caps from '../../src/wire/capabilities.js';
import * as com from '../../src/wire/commands.js';

const ALL = { flags: 0xffffffff, mariadb: 0xffffffff };

describe('of everything offered', () => {
  const { flags, mariadb } = caps.relayedCapabilities(ALL);

  test('compression, TLS and the reserved extension are held back (wire 20, 48)', () => {
    const heldBack = Array.from({ length: 32 }, (_, bit) => bit).filter(
      (bit) => ((flags >>> bit) & 1) === 0,
    );
    expect(heldBack).toEqual([5, 11, 26, 29]);
    expect(caps.CLIENT_COMPRESS).toBe(1 << 5);
    expect(caps.CLIENT_SSL).toBe(1 << 11);
    expect(caps.CLIENT_ZSTD_COMPRESSION_ALGORITHM).toBe(1 << 26);
  });

  test('of MariaDB’s own, COM_MULTI and whatever is unknown (wire 15)', () => {
    const through = Array.from({ length: 32 }, (_, bit) => bit).filter(
      (bit) => ((mariadb >>> bit) & 1) === 1,
    );
    expect(through).toEqual([0, 2, 3, 4, 5]);
  });

  test('both words stay unsigned', () => {
    expect(flags).toBeGreaterThan(0);
    expect(caps.hasFlag({ flags, mariadb }, caps.CLIENT_REMEMBER_OPTIONS)).toBe(true);
  });
});

test('the bit that tells MariaDB’s word is passed on as it is', () => {
  expect(caps.relayedCapabilities({ flags: caps.CLIENT_LONG_PASSWORD, mariadb: 0 }).flags).toBe(1);
  expect(caps.relayedCapabilities({ flags: 0, mariadb: 4 })).toEqual({ flags: 0, mariadb: 4 });
});

test('agreed is what both sides have', () => {
  const server = { flags: caps.CLIENT_DEPRECATE_EOF | 2, mariadb: 5 };
  const client = { flags: caps.CLIENT_DEPRECATE_EOF | caps.CLIENT_QUERY_ATTRIBUTES, mariadb: 4 };
  const both = { flags: caps.CLIENT_DEPRECATE_EOF, mariadb: 4 };
  expect(caps.agreedCapabilities(server, client)).toEqual(both);
});

// ── commands ─────────────────────────────────────────────────────────────────────────────────────
// Which commands are relayed without a look, by their bytes.

test('what drops, what changes the protocol and what is unknown is not relayed (wire 15)', () => {
  const refused = Array.from({ length: 256 }, (_, byte) => byte)
    .filter((byte) => !com.isRelayedCommand(byte))
    .map((byte) => byte.toString(16).padStart(2, '0'));
  // 06 DROP_DB, 13 TABLE_DUMP, 14 CONNECT_OUT, 1d DAEMON, 20 CLONE, 21 group replication,
  // fe COM_MULTI; 0b CONNECT, 0f TIME and 10 DELAYED_INSERT are the server's own.
  expect(refused.filter((byte) => byte < '22').join(' ')).toBe('06 0b 0f 10 13 14 1d 20 21');
  expect(refused).toEqual(expect.arrayContaining(['7f', 'fe', 'ff']));
  expect(refused).not.toContain('fa');
});
