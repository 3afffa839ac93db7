/** Which server has the services of a proxy, by what its upstreams say of themselves. */
import { findLedgerServer } from '../../../src/cli/serve/ledger-server.js';
import { UndropError } from '../../../src/errors.js';
import { silentLog } from '../../../src/log.js';
import type { FoundServer } from '../../../src/service/pool/pool-set.js';

type Said = Readonly<Record<string, readonly (FoundServer | Error)[]>>;

const at = (host: string) => ({ host, port: 3306 });
const primary = (host: string, identity = host): FoundServer => ({
  address: at(host),
  identity,
  readOnly: false,
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

describe('the services are at', () => {
  test('the first that takes writes', async () => {
    expect(await find(LIST, { a: [primary('a')], b: [primary('b')] })).toBe('a');
    expect(await find(LIST, { a: [replica('a')], b: [primary('b')] })).toBe('b');
    expect(await find(LIST, { b: [primary('b')] })).toBe('b');
    expect(await find({ gone: [], b: ['b'] }, { b: [primary('b')] })).toBe('b');
  });

  test('at the start one that is read-only, where no other answers; or nobody', async () => {
    expect(await find(LIST, { b: [replica('b')] })).toBe('b');
    expect(await find(LIST, {})).toBe(undefined);
  });

  test('behind a failover the other one, and back', async () => {
    const said = { a: [replica('a')], b: [primary('b')] };
    expect(await find(LIST, said, primary('a'))).toBe('b');
    expect(await find(LIST, { a: [primary('a')], b: [replica('b')] }, primary('b'))).toBe('a');
  });

  test('where it was, as long as nobody takes writes', async () => {
    expect(await find(LIST, { a: [GONE], b: [replica('b')] }, primary('a'))).toBe('a');
    expect(await find(LIST, { a: [replica('a')], b: [replica('b')] }, primary('b'))).toBe('b');
  });

  test('one address of a name, whatever their order', async () => {
    const said = { x: [primary('x')], y: [primary('y')] };
    expect(await find({ db: ['x', 'y'] }, said, primary('y'))).toBe('y');
    expect(await find({ db: ['x', 'y'] }, { y: [primary('y')] }, primary('x'))).toBe('y');
  });

  test('another server at the same address, unless both are there in turn', async () => {
    const taken = { vip: [primary('vip', 'new')] };
    expect(await find({ vip: ['vip'] }, taken, primary('vip', 'old'))).toBe('new');
    const balanced = { vip: [primary('vip', 'two'), primary('vip', 'one')] };
    expect(await find({ vip: ['vip'] }, balanced, primary('vip', 'one'))).toBe('one');
  });
});

test('a refused account stops a start, and nothing else', async () => {
  const said = { a: [GONE], b: [REFUSED] };
  await expect(find(LIST, said)).rejects.toBe(REFUSED);
  expect(await find(LIST, { a: [REFUSED], b: [primary('b')] }, primary('a'))).toBe('b');
});
