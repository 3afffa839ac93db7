/** What the bridge does with packets that no honest server sends; the rest is in tls-logins. */
import { expect, test } from '@jest/globals';
import { AuthBridge } from '../../../src/session/login/auth-bridge.js';

test.each([
  ['as it is', [0x01, 0x04]],
  ['with more behind it, which clients read over', [0x01, 0x04, 0x00]],
])('a hint for the password %s never has it in clear on an insecure leg', (_how, hint) => {
  const legs = { client: 'tls', upstream: 'plain' } as const;
  const keys = { own: null, server: 'ask' } as const;
  const nonce = Buffer.alloc(20, 'n');
  const bridge = new AuthBridge(legs, keys, { plugin: 'caching_sha2_password', nonce });
  bridge.fromServer(Buffer.from(hint));
  const { payload } = bridge.fromClient(Buffer.from('secret\0'));
  // A hint for the server's key.
  expect(payload).toEqual(Buffer.from([0x02]));
});
