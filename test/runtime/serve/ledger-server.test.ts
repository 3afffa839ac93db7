/** Which server has the services of a proxy, by what its upstreams say of themselves. */

import type { FoundServer } from '../../../src/connections/pool/pool-set.js';
import { UndropError } from '../../../src/errors.js';
import { silentLog } from '../../../src/log.js';
import { findLedgerServer } from '../../../src/runtime/serve/ledger-server.js';

type Said = Readonly<Record<string, readonly (FoundServer | Error)[]>>;

const at = (host: string) => ({ host, port: 3306 });
const primary = (host: string, identity = host): FoundServer => ({
  address: at(host),
  identity,
  readOnly: false,
  product: 'MySQL 9.7.4',
  connectionsMax: 151,
});
const replica = (host: string): FoundServer => ({ ...primary(host), readOnly: true });
const GONE = new Error('ECONNREFUSED');
const REFUSED = new UndropError('UNDROP_ACCOUNT', { server: 'b', cause: 'denied' });

/** `names`: what each upstream resolves to; `said`: what is there, by look; the last for ever. */
async function find(
  names: Readonly<Record<string, readonly string[]>>,
  said: Said,
  current: FoundServer | null = null,
): Promise<string | undefined> {
  const looks = new Map<string, number>();
  const found = await findLedgerServer({
    upstream: Object.keys(names).map(at),
    current,
    resolve: async (one) => {
      const hosts = 'host' in one ? (names[one.host] ?? []) : [];
      if (hosts.length === 0) throw new Error('ENOTFOUND');
      return hosts.map(at);
    },
    look: async (address) => {
      const host = 'host' in address ? address.host : '';
      const answers = said[host] ?? [GONE];
      const count = looks.get(host) ?? 0;
      looks.set(host, count + 1);
      const answer = answers[Math.min(count, answers.length - 1)] ?? GONE;
      if (answer instanceof Error) throw answer;
      return answer;
    },
    log: silentLog,
  });
  return found?.identity;
}

const LIST = { a: ['a'], b: ['b'] };

const [A, B] = [primary('a'), primary('b')];
const DB = { db: ['x', 'y'] };
const VIP = { vip: ['vip'] };
const [one, two] = [primary('vip', 'one'), primary('vip', 'two')];

test.each<[string, Parameters<typeof find>, string | undefined]>([
  ['the first that takes writes', [LIST, { a: [A], b: [B] }], 'a'],
  ['it, if not the first', [LIST, { a: [replica('a')], b: [B] }], 'b'],
  ['it, if the first is away', [LIST, { b: [B] }], 'b'],
  ['it, if the first has no address', [{ gone: [], b: ['b'] }, { b: [B] }], 'b'],
  ['at the start a read-only one, if no other answers', [LIST, { b: [replica('b')] }], 'b'],
  ['nobody, if none answers', [LIST, {}], undefined],
  ['behind a failover the other', [LIST, { a: [replica('a')], b: [B] }, A], 'b'],
  ['and back', [LIST, { a: [A], b: [replica('b')] }, B], 'a'],
  ['where it was, if nobody takes writes', [LIST, { a: [GONE], b: [replica('b')] }, A], 'a'],
  ['and read-only', [LIST, { a: [replica('a')], b: [replica('b')] }, B], 'b'],
  ['an address of a name', [DB, { x: [primary('x')], y: [primary('y')] }, primary('y')], 'y'],
  ['another of that name', [DB, { y: [primary('y')] }, primary('x')], 'y'],
  ['another at the same address', [VIP, { vip: [two] }, one], 'two'],
  ['the same, if both are there in turn', [VIP, { vip: [two, one] }, one], 'one'],
])('the services are at: %s', async (_what, asked, expected) => {
  expect(await find(...asked)).toBe(expected);
});

test('a refused account stops a start, and nothing else', async () => {
  const said = { a: [GONE], b: [REFUSED] };
  await expect(find(LIST, said)).rejects.toBe(REFUSED);
  expect(await find(LIST, { a: [REFUSED], b: [B] }, A)).toBe('b');
});
