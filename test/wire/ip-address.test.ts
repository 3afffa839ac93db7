/** IP addresses to bytes and back. */
import net from 'node:net';
import { describe, expect, test } from '@jest/globals';
import {
  formatIpAddress,
  parseIpAddress,
  toIpv4,
  toIpv6,
} from '../../src/wire/connection/proxy-header.js';
import fc from '../support/properties.js';

describe('an address', () => {
  test.each([
    ['127.0.0.1', '7f000001', '127.0.0.1'],
    ['0.0.0.0', '00000000', '0.0.0.0'],
    ['255.255.255.255', 'ffffffff', '255.255.255.255'],
    ['::', '00000000000000000000000000000000', '::'],
    ['::1', '00000000000000000000000000000001', '::1'],
    ['2001:db8::', '20010db8000000000000000000000000', '2001:db8::'],
    ['2001:DB8:0:0:1:0:0:1', '20010db8000000000001000000000001', '2001:db8::1:0:0:1'],
    ['1:2:3:4:5:6:7:8', '00010002000300040005000600070008', '1:2:3:4:5:6:7:8'],
    ['1:0:3:4:5:6:7:8', '00010000000300040005000600070008', '1:0:3:4:5:6:7:8'],
    ['64:ff9b::192.0.2.1', '0064ff9b0000000000000000c0000201', '64:ff9b::c000:201'],
    ['::ffff:10.1.2.3', '00000000000000000000ffff0a010203', '10.1.2.3'],
  ])('%s has its bytes', (text, hex, written) => {
    const bytes = parseIpAddress(text) ?? Buffer.alloc(0);
    expect(bytes.toString('hex')).toBe(hex);
    expect(formatIpAddress(bytes)).toBe(written);
  });

  test.each([
    ...['', '1.2.3', '1.2.3.4.5', '256.0.0.1', '01.2.3.4', '1.2.3.4 ', 'localhost', '1.2.3.x'],
    ...[':', ':1', '1:', '1::2::3', ':::', '1:2:3:4:5:6:7', '1:2:3:4:5:6:7:8:9', '12345::'],
    ...['g::', '1:2:3:4:5:6:7::8', '1.2.3.4::', '::1.2.3', '::1.2.3.4:5', 'fe80::1%eth0', '[::1]'],
  ])('is not %j', (text) => {
    expect(parseIpAddress(text)).toBe(null);
  });

  test('is one for us where it is one for Node, and means the same', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.ipV4(), fc.ipV6(), fc.stringMatching(/^[0-9a-f:.]{1,20}$/)),
        (text) => {
          const bytes = parseIpAddress(text);
          expect(bytes !== null).toBe(net.isIP(text) !== 0);
          if (bytes === null) return;
          const again = parseIpAddress(formatIpAddress(bytes)) ?? Buffer.alloc(0);
          expect(toIpv6(again).equals(toIpv6(bytes))).toBe(true);
        },
      ),
    );
  });

  test('of IPv4 is the same in IPv6', () => {
    const four = Buffer.of(10, 1, 2, 3);
    expect(toIpv4(toIpv6(four))?.equals(four)).toBe(true);
    expect(toIpv4(parseIpAddress('::1') ?? four)).toBe(null);
  });
});
