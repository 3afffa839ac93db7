/**
 * Clients behind a load balancer that says who they are, on real sockets. What servers are told of
 * them is in server/client-address.test.ts.
 */
import { trustedBy } from '../../../src/session/dial/proxy-protocol.js';
import { encodeProxyHeader } from '../../../src/wire/connection/proxy-header.js';
import { singleBytes } from '../../support/chunks.js';
import {
  arrives,
  errorTo,
  GREETING,
  openBench,
  useWay,
  WAYS,
} from '../../support/session-bench.js';

const OWN = { host: '10.0.0.1', port: 3307 };
const HEADER = encodeProxyHeader({ host: '10.1.2.3', port: 51234 }, OWN);

describe.each(WAYS)('a client that is announced, by %s (wire 58)', (way) => {
  beforeAll(() => useWay(way));

  test.each([
    ['by version 2', HEADER],
    ['by version 1', Buffer.from('PROXY TCP4 10.1.2.3 10.0.0.1 51234 3307\r\n')],
    ['as a health check', Buffer.from('0d0a0d0a000d0a515549540a20000000', 'hex')],
  ])('%s gets its greeting, and no sooner', async (_name, header) => {
    await using bench = await openBench({ isAnnounced: () => true });
    const client = await bench.client();
    for (const byte of singleBytes(header)) {
      expect(bench.counters.sessionsTotal).toBe(0);
      client.send(byte);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await arrives(await bench.accepted(), client, GREETING);
  });

  test.each([
    ['by something else', Buffer.from('0a352e37'), /expected a header of the PROXY protocol/],
    ['with bytes behind', Buffer.concat([HEADER, Buffer.of(1)]), /more bytes followed/],
  ])('%s is told so, and the server hears nothing of it', async (_name, bytes, problem) => {
    await using bench = await openBench({ isAnnounced: () => true });
    const client = await bench.client();
    client.send(bytes);
    const { text } = await errorTo(client);
    expect(text).toMatch(/^UNDROP_PROXY_HEADER: Expected a header of the PROXY protocol: /);
    expect(text).toMatch(problem);
    await client.ended();
    client.end();
    expect(bench.counters).toMatchObject({ sessionsTotal: 0, sessionsOpen: 0 });
  });

  test('that says nothing is told what was missing', async () => {
    await using bench = await openBench({ isAnnounced: () => true, headerTimeoutMs: 30 });
    const client = await bench.client();
    expect((await errorTo(client)).text).toMatch(/none came within 30 ms/);
    await client.ended();
  });

  test('that goes without a word is let go', async () => {
    await using bench = await openBench({ isAnnounced: () => true });
    const client = await bench.client();
    client.end();
    await client.ended();
    expect(client.received).toHaveLength(0);
    expect(bench.counters.sessionsTotal).toBe(0);
  });

  test('in the middle of its header is let go', async () => {
    await using bench = await openBench({ isAnnounced: () => true });
    const client = await bench.client();
    client.send(HEADER.subarray(0, 20));
    client.end();
    expect((await errorTo(client)).text).toMatch(/the connection ended within it/);
    await client.ended();
  });
});

describe('an address is trusted (wire 58)', () => {
  const socket = (remoteAddress: string | undefined, remoteFamily = 'IPv4') =>
    ({ remoteAddress, remoteFamily }) as never;
  const trusts = trustedBy([
    { address: '10.0.0.0', prefixBits: 8, family: 'ipv4' },
    { address: 'fd00::', prefixBits: 8, family: 'ipv6' },
  ]);

  test.each([
    ['10.9.8.7', 'IPv4', true],
    ['11.0.0.1', 'IPv4', false],
    ['::ffff:10.9.8.7', 'IPv6', true],
    ['::ffff:11.0.0.1', 'IPv6', false],
    ['fd12::1', 'IPv6', true],
    ['2001:db8::1', 'IPv6', false],
  ])('%s by its network: %s, %s', (address, family, isTrusted) => {
    expect(trusts(socket(address, family))).toBe(isTrusted);
  });

  test('at a unix socket only where that is written down', () => {
    expect(trusts(socket(undefined))).toBe(false);
    expect(trustedBy(['unix'])(socket(undefined))).toBe(true);
  });
});
