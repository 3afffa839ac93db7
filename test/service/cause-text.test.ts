/** Words of errors that aren't ours, as they stand within sentences of ours. */
import { expect, test } from '@jest/globals';
import { causeText } from '../../src/service/errors.js';

test.each([
  [
    '80EC4292E17F0000:error:0A000102:SSL routines:ssl_choose_client_version:unsupported protocol:../deps/openssl/openssl/ssl/statem/statem_lib.c:1952:\n',
    'unsupported protocol',
  ],
  [
    '80EC4292E17F0000:error:0A00010B:SSL routines::wrong version number:../ssl3_record.c:350:\n',
    'wrong version number',
  ],
  ['self-signed certificate in certificate chain', 'self-signed certificate in certificate chain'],
  ['connect ECONNREFUSED 127.0.0.1:1', 'connect ECONNREFUSED 127.0.0.1:1'],
  ['Too many connections.', 'Too many connections'],
])('of %j are %j', (message, words) => {
  expect(causeText(new Error(message))).toBe(words);
  expect(causeText(message)).toBe(words);
});
