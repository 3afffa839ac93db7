/**
 * One greedy user and one hostile one beside fourteen others: nothing that these have dropped goes
 * before its time, and all that they do goes on.
 */
import { jest } from '@jest/globals';
import { asking } from '../support/asking.js';
import { freshLedger } from '../support/fresh-ledger.js';
import { onServer, withPacketBytesMax } from '../support/on-servers.js';
import { until } from '../support/poll.js';
import { isLong, rounds, sample } from '../support/sample.js';
import { testServers } from '../support/servers.js';
import * as crowd from '../support/sixteen-users.js';

// A busy machine is slow, not wrong.
jest.setTimeout(900_000);

/** At least; and until a limit has taken something of the greedy one. */
const LASTS_MS = rounds(15_000, 0);

const servers = isLong ? testServers() : sample(testServers(), { name: 'sixteen', count: 1 });

describe.each(servers)('sixteen users on $name', (server) => {
  const on = onServer(server);
  // Their longest texts are of 4 MiB.
  withPacketBytesMax(server, on, 64 * 1024 * 1024);
  on.afterAll(() => freshLedger(server));
  on.afterAll(() => crowd.dropUsers(server));
  on.beforeAll(async () => {
    await freshLedger(server);
    await crowd.makeUsers(server);
  });
  const proxy = on.proxy(crowd.CROWD_VARIABLES);

  test('nobody loses a table by what two of them do', async () => {
    await crowd.dropKept(proxy);
    const end = new AbortController();
    const living = crowd.liveTogether(proxy, { beside: true, signal: end.signal });
    const early = () =>
      asking(server).column(`SELECT DISTINCT ledger.user_name FROM _undrop.history AS history
        JOIN _undrop.ledger AS ledger ON ledger.id = history.id
        WHERE history.event = 'transition' AND history.details LIKE '%UNDROP\\_MAX\\_TABLES%'`);
    const endMs = performance.now() + LASTS_MS;
    const isOver = async () => performance.now() > endMs && (await early()).length > 0;
    await Promise.race([living, until(isOver, 'a limit takes something', 600_000)]);
    end.abort();
    await living;
    expect((await early()).filter((user) => user.startsWith('crowd_user_'))).toEqual([]);
    expect(await crowd.countKept(proxy)).toBe(crowd.CROWD_TABLES);
  });
});
