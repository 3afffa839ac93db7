/** When the service account logs in to have the server's count of broken handshakes set back. */
import { jest } from '@jest/globals';
import { silentLog } from '../../../src/log.js';
import { HostErrorReset, isUncounted } from '../../../src/session/dial/reset-host-errors.js';
import { encodeErr } from '../../../src/wire/response.js';

const ADDRESS = { host: 'db.example', port: 3306 };
const OTHER = { host: 'db2.example', port: 3306 };

/** Logins of ours that are under way; each ends as the test says. */
let visits: { readonly host: string; end(error?: Error): void }[] = [];
let unblocker = newUnblocker();

function newUnblocker(): HostErrorReset {
  return new HostErrorReset({
    visit: (address) =>
      new Promise((resolve, reject) => {
        const host = 'host' in address ? address.host : '';
        visits.push({ host, end: (error) => (error === undefined ? resolve() : reject(error)) });
      }),
    background: () => undefined,
    log: silentLog,
  });
}

/** The login that began last ends. */
async function end(error?: Error): Promise<void> {
  visits.at(-1)?.end(error);
  await jest.advanceTimersByTimeAsync(0);
}

beforeEach(() => {
  jest.useFakeTimers();
  visits = [];
  unblocker = newUnblocker();
});

afterEach(() => {
  unblocker.stop();
  jest.useRealTimers();
});

describe('after a broken login', () => {
  test('we log in at once, and once for all that break meanwhile', async () => {
    unblocker.onBrokenLogin(ADDRESS);
    expect(visits).toHaveLength(1);
    for (let time = 0; time < 5; time++) unblocker.onBrokenLogin(ADDRESS);
    expect(visits).toHaveLength(1);
    await end();
    await jest.advanceTimersByTimeAsync(1_000);
    expect(visits).toHaveLength(2);
    await end();
    await jest.advanceTimersByTimeAsync(60_000);
    expect(visits).toHaveLength(2);
  });

  test('each address has its own', () => {
    unblocker.onBrokenLogin(ADDRESS);
    unblocker.onBrokenLogin(OTHER);
    expect(visits.map(({ host }) => host)).toEqual([ADDRESS.host, OTHER.host]);
  });

  test('an account that isn’t let in is given up for a minute', async () => {
    unblocker.onBrokenLogin(ADDRESS);
    for (let time = 0; time < 100; time++) unblocker.onBrokenLogin(ADDRESS);
    await end(new Error('Access denied'));
    await jest.advanceTimersByTimeAsync(59_000);
    unblocker.onBrokenLogin(ADDRESS);
    expect(visits).toHaveLength(1);
    await jest.advanceTimersByTimeAsync(1_100);
    unblocker.onBrokenLogin(ADDRESS);
    expect(visits).toHaveLength(2);
  });

  test('nothing begins where the proxy stops', async () => {
    unblocker.onBrokenLogin(ADDRESS);
    unblocker.onBrokenLogin(ADDRESS);
    unblocker.stop();
    await end();
    await jest.advanceTimersByTimeAsync(2_000);
    unblocker.onBrokenLogin(ADDRESS);
    await jest.advanceTimersByTimeAsync(2_000);
    expect(visits).toHaveLength(1);
  });
});

describe('a login that ends', () => {
  const err = (errno: number) =>
    encodeErr({ errno, sqlState: '08S01', message: Buffer.from('text') });

  test.each([1043, 1156, 1158, 1231, 1251])('in error %d may be counted', (errno) => {
    expect(isUncounted(err(errno), { isGreeted: true })).toBe(false);
    expect(isUncounted(err(errno), { isGreeted: false })).toBe(true);
  });

  test.each([1040, 1045, 1049, 1129])('in error %d is not counted', (errno) => {
    expect(isUncounted(err(errno), { isGreeted: true })).toBe(true);
  });

  test('in an OK is not counted, and a question is no end', () => {
    expect(isUncounted(Buffer.of(0, 0, 0, 2, 0, 0, 0), { isGreeted: true })).toBe(true);
    expect(isUncounted(Buffer.of(0xfe, 0x61, 0), { isGreeted: true })).toBe(false);
    expect(isUncounted(Buffer.of(0xff), { isGreeted: true })).toBe(false);
  });
});
