/** An advice by kind: what is wrong with the way, with TLS, or with the login. */
import { connectError } from '../../../src/connections/errors.js';

test.each([
  ['ECONNREFUSED', 'UNDROP_UPSTREAM_UNREACHABLE'],
  ['ENOENT', 'UNDROP_UPSTREAM_UNREACHABLE'],
  ['EAI_AGAIN', 'UNDROP_UPSTREAM_UNREACHABLE'],
  ['PROTOCOL_CONNECTION_LOST', 'UNDROP_UPSTREAM_UNREACHABLE'],
  ['HANDSHAKE_SSL_ERROR', 'UNDROP_UPSTREAM_TLS'],
  ['HANDSHAKE_NO_SSL_SUPPORT', 'UNDROP_UPSTREAM_TLS'],
  ['SELF_SIGNED_CERT_IN_CHAIN', 'UNDROP_UPSTREAM_TLS'],
  ['DEPTH_ZERO_SELF_SIGNED_CERT', 'UNDROP_UPSTREAM_TLS'],
  ['EPROTO', 'UNDROP_UPSTREAM_TLS'],
  ['AUTH_SWITCH_PLUGIN_ERROR', 'UNDROP_SERVICE_FAILED'],
])('%s is %s, with the address and the cause', (code, expected) => {
  const error = connectError(Object.assign(new Error('why.'), { code }), 'db:3306');
  expect(error.code).toBe(expected);
  expect(error.message).toMatch(/db:3306.*: why\. /);
});

test('what the server answers to a login is its own error, as the cause', () => {
  const answer = { code: 'ER_ACCESS_DENIED_ERROR', errno: 1045, sqlState: '28000' };
  const error = connectError(Object.assign(new Error('no'), answer), 'db:3306');
  expect(error.code).toBe('UNDROP_SERVICE_FAILED');
  expect(error.cause).toMatchObject({ errno: 1045 });
});
