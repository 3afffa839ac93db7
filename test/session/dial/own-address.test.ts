/** Which upstream is the proxy itself, by the address that it is dialled at. */
import { networkInterfaces } from 'node:os';
import { describe, expect, test } from '@jest/globals';
import { leadsTo } from '../../../src/session/dial/dial.js';

const own = Object.values(networkInterfaces()).flatMap((list) => list ?? [])[0]?.address ?? '';
const at = (host: string, port = 3307) => ({ host, port });

describe('an upstream is the proxy itself', () => {
  test.each([
    ['the same', at('127.0.0.1'), at('127.0.0.1')],
    ['loopback, of all addresses', at('127.0.0.5'), at('0.0.0.0')],
    ['one of this machine, of all', at(own), at('::')],
    ['any, of all', at('::'), at('0.0.0.0')],
    ['the same socket', { socketPath: './a.sock' }, { socketPath: `${process.cwd()}/a.sock` }],
  ])('%s', (_name, target, bound) => {
    expect(leadsTo(target, bound)).toBe(true);
  });

  test.each([
    ['another port', at('127.0.0.1', 3306), at('127.0.0.1')],
    ['another loopback address', at('127.0.0.2'), at('127.0.0.1')],
    ['another machine', at('192.0.2.7'), at('0.0.0.0')],
    ['another socket', { socketPath: '/a.sock' }, { socketPath: '/b.sock' }],
    ['a socket beside a port', { socketPath: '/a.sock' }, at('127.0.0.1')],
  ])('not: %s', (_name, target, bound) => {
    expect(leadsTo(target, bound)).toBe(false);
  });
});
