/** The header of the PROXY protocol: what HAProxy and others send, cut, and bent. */

import net from 'node:net';
import * as headers from '../../../src/wire/connection/proxy-header.js';
import { MalformedPacketError } from '../../../src/wire/packet-reader.js';
import { truncations } from '../../support/chunks.js';
import fc from '../../support/properties.js';

const v2 = (hex: string, rest = '') => Buffer.from(`0d0a0d0a000d0a515549540a${hex}${rest}`, 'hex');
const v1 = (line: string) => Buffer.from(`${line}\r\n`);
/** 10.1.2.3:51234 to 10.0.0.1:3307 */
const TCP4 = '0a0102030a000001c8220ceb';
const TCP6 = `20010db8000000000000000000000007${'00'.repeat(15)}01c8220ceb`;

const GOOD = [
  ['TCP4', v1('PROXY TCP4 10.1.2.3 10.0.0.1 51234 3307'), { host: '10.1.2.3', port: 51234 }],
  ['TCP6', v1('PROXY TCP6 2001:db8::7 ::1 51234 3307'), { host: '2001:db8::7', port: 51234 }],
  ['UNKNOWN', v1('PROXY UNKNOWN'), null],
  ['UNKNOWN, with addresses', v1('PROXY UNKNOWN ffff:f::1 ::1 65535 65535'), null],
  ['v2 TCP4', v2('2111000c', TCP4), { host: '10.1.2.3', port: 51234 }],
  ['v2 TCP6', v2('21210024', TCP6), { host: '2001:db8::7', port: 51234 }],
  ['v2 with extensions', v2('21110012', `${TCP4}0300030000ff`), { host: '10.1.2.3', port: 51234 }],
  ['v2 LOCAL', v2('20000000'), null],
  ['v2 LOCAL, with addresses', v2('2011000c', TCP4), null],
  ['v2 of a unix socket', v2('213100d8', '00'.repeat(216)), null],
  ['v2 of datagrams', v2('2112000c', TCP4), null],
] as const;

describe.each(GOOD)('%s', (_name, bytes, client) => {
  test('says whose connection it is', () =>
    expect(headers.decodeProxyHeader(bytes)).toEqual({ client, bytes: bytes.length }));

  test('ends where it ends', () => {
    const behind = Buffer.concat([bytes, Buffer.from('PROXY')]);
    expect(headers.decodeProxyHeader(behind)).toEqual({ client, bytes: bytes.length });
  });

  test('cut off anywhere waits for more', () => {
    for (const beginning of truncations(bytes))
      expect(headers.decodeProxyHeader(beginning)).toBe(null);
  });
});

test.each([
  ['no header', Buffer.from('GET / HTTP/1.1')],
  ['a MySQL packet', Buffer.from('2000000185a61f00', 'hex')],
  ['another word', Buffer.from('PROXI')],
  ['lower case', Buffer.from('proxy TCP4')],
  ['no family', v1('PROXY TCP5 10.1.2.3 10.0.0.1 1 2')],
  ['an address too few', v1('PROXY TCP4 10.1.2.3 1 2')],
  ['addresses of the other family', v1('PROXY TCP4 ::1 ::1 1 2')],
  ['mixed families', v1('PROXY TCP6 ::1 10.0.0.1 1 2')],
  ['a name', v1('PROXY TCP4 localhost 10.0.0.1 1 2')],
  ['a port too high', v1('PROXY TCP4 10.1.2.3 10.0.0.1 65536 2')],
  ['two blanks', v1('PROXY  TCP4 10.1.2.3 10.0.0.1 1 2')],
  ['a line without its end', Buffer.from(`PROXY UNKNOWN ${'x'.repeat(200)}`)],
  ['a line too long', v1(`PROXY UNKNOWN ${'x'.repeat(200)}`)],
  ['version 1 in bytes', v2('1111000c', TCP4)],
  ['an unknown command', v2('2211000c', TCP4)],
  ['addresses cut short', v2('2111000b', TCP4)],
  ['kilobytes', v2('21111001')],
])('refused, as soon as it can be known, is %s (wire 58)', (_name, bytes) =>
  expect(() => headers.decodeProxyHeader(bytes)).toThrow(MalformedPacketError),
);

test('garbage is refused, or waited behind, and never more is taken than there is', () => {
  const begun = fc
    .tuple(fc.constantFrom('', '50524f585920', '0d0a0d0a000d0a515549540a'), fc.uint8Array())
    .map(([head, rest]) => Buffer.concat([Buffer.from(head, 'hex'), rest]));
  fc.assert(
    fc.property(begun, (bytes) => {
      try {
        const header = headers.decodeProxyHeader(bytes);
        if (header !== null) expect(header.bytes).toBeLessThanOrEqual(bytes.length);
      } catch (error) {
        expect(error).toBeInstanceOf(MalformedPacketError);
      }
    }),
  );
});

describe('a header of ours', () => {
  test.each([
    ['IPv4', '10.1.2.3', '10.0.0.1', '2111000c', '10.1.2.3'],
    ['IPv6', '2001:db8::7', '::1', '21210024', '2001:db8::7'],
    ['IPv4 at a socket of both', '::ffff:10.1.2.3', '::ffff:10.0.0.1', '2111000c', '10.1.2.3'],
    ['IPv4 told by a load balancer that comes by IPv6', '10.1.2.3', '::1', '21210024', '10.1.2.3'],
  ])('says the address of a client by %s', (_name, from, to, head, seen) => {
    const header = headers.encodeProxyHeader({ host: from, port: 51234 }, { host: to, port: 3307 });
    expect(header.subarray(12, 16).toString('hex')).toBe(head);
    expect(headers.decodeProxyHeader(header)).toEqual({
      client: { host: seen, port: 51234 },
      bytes: header.length,
    });
  });

  test.each([
    ['a unix socket', null, null],
    ['an address that is none', { host: 'fe80::1%eth0', port: 1 }, { host: '::1', port: 2 }],
  ])('is LOCAL for %s', (_name, from, to) =>
    expect(headers.encodeProxyHeader(from, to)).toEqual(v2('20000000')),
  );
});

// ── ip address ───────────────────────────────────────────────────────────────────────────────────
// IP addresses to bytes and back.

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
    const bytes = headers.parseIpAddress(text) ?? Buffer.alloc(0);
    expect(bytes.toString('hex')).toBe(hex);
    expect(headers.formatIpAddress(bytes)).toBe(written);
  });

  test.each([
    ...['', '1.2.3', '1.2.3.4.5', '256.0.0.1', '01.2.3.4', '1.2.3.4 ', 'localhost', '1.2.3.x'],
    ...[':', ':1', '1:', '1::2::3', ':::', '1:2:3:4:5:6:7', '1:2:3:4:5:6:7:8:9', '12345::'],
    ...['g::', '1:2:3:4:5:6:7::8', '1.2.3.4::', '::1.2.3', '::1.2.3.4:5', 'fe80::1%eth0', '[::1]'],
  ])('is not %j', (text) => expect(headers.parseIpAddress(text)).toBe(null));

  test('is one for us where it is one for Node, and means the same', () =>
    fc.assert(
      fc.property(
        fc.oneof(fc.ipV4(), fc.ipV6(), fc.stringMatching(/^[0-9a-f:.]{1,20}$/)),
        (text) => {
          const bytes = headers.parseIpAddress(text);
          expect(bytes !== null).toBe(net.isIP(text) !== 0);
          if (bytes === null) return;
          const again = headers.parseIpAddress(headers.formatIpAddress(bytes)) ?? Buffer.alloc(0);
          expect(headers.toIpv6(again).equals(headers.toIpv6(bytes))).toBe(true);
        },
      ),
    ));

  test('of IPv4 is the same in IPv6', () => {
    const four = Buffer.of(10, 1, 2, 3);
    expect(headers.toIpv4(headers.toIpv6(four))?.equals(four)).toBe(true);
    expect(headers.toIpv4(headers.parseIpAddress('::1') ?? four)).toBe(null);
  });
});
