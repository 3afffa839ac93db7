/** Which commands are relayed without a look, by their bytes. */
import { expect, test } from '@jest/globals';
import { isRelayedCommand } from '../../src/wire/commands.js';

test('what drops, what changes the protocol and what is unknown is not relayed (wire 15)', () => {
  const refused = Array.from({ length: 256 }, (_, byte) => byte)
    .filter((byte) => !isRelayedCommand(byte))
    .map((byte) => byte.toString(16).padStart(2, '0'));
  // 06 DROP_DB, 13 TABLE_DUMP, 14 CONNECT_OUT, 1d DAEMON, 20 CLONE, 21 group replication,
  // fe COM_MULTI; 0b CONNECT, 0f TIME and 10 DELAYED_INSERT are the server's own.
  expect(refused.filter((byte) => byte < '22').join(' ')).toBe('06 0b 0f 10 13 14 1d 20 21');
  expect(refused).toEqual(expect.arrayContaining(['7f', 'fe', 'ff']));
  expect(refused).not.toContain('fa');
});
