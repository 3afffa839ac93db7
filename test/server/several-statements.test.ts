/**
 * Texts of several statements with a DROP TABLE among them, directly and through the proxy: the
 * same bytes, the same state, and no table lost.
 *
 * SEVERAL_TEXTS is how many random ones for each server and client, SEVERAL_SEED the seed.
 */
import { expect, jest } from '@jest/globals';
import type { Connection } from 'mysql2/promise';
import { seededRandom } from '../support/dice.js';
import { inLanes } from '../support/lanes.js';
import { type CaseRun, runCase, seenIn } from '../support/native-case.js';
import { type ProxyTarget, proxyInFront } from '../support/proxy.js';
import { CLIENT, MARIADB_CLIENT } from '../support/raw-client.js';
import { connect, testServers } from '../support/servers.js';
import { randomText, SEVERAL_CASES, SEVERAL_SETUP } from '../support/several-cases.js';
import { Survival } from '../support/survival.js';

const TEXTS = Number(process.env['SEVERAL_TEXTS'] ?? '25');
const SEED = Number(process.env['SEVERAL_SEED'] ?? '1');

const LONGEST_MS = 120_000 + TEXTS * 2_000;
jest.setTimeout(LONGEST_MS);

const CLIENTS = {
  'an old client': { flags: CLIENT.MULTI_STATEMENTS },
  'a client of today': {
    flags:
      CLIENT.MULTI_STATEMENTS |
      CLIENT.DEPRECATE_EOF |
      CLIENT.SESSION_TRACK |
      CLIENT.QUERY_ATTRIBUTES |
      CLIENT.OPTIONAL_RESULTSET_METADATA,
    mariadb: MARIADB_CLIENT.CACHE_METADATA | MARIADB_CLIENT.EXTENDED_METADATA,
  },
};

inLanes(
  testServers(),
  'several statements in a text on $name',
  (server, lane) => {
    const { afterAll, beforeAll, test } = lane;
    let proxy: ProxyTarget;
    let root: Connection;

    beforeAll(async () => {
      proxy = await proxyInFront(server);
      root = await connect(server, { multipleStatements: false });
    });

    afterAll(async () => {
      await root.end();
      await proxy.stop();
    });

    const cases = SEVERAL_CASES.filter(({ servers }) => servers?.includes(server.name) ?? true);

    for (const [name, client] of Object.entries(CLIENTS)) {
      test.each(cases)(`by ${name}: $name`, async (one) => {
        const survival = new Survival(root, ['d1', 'd2']);
        const isRefused = one.ends !== undefined;
        const direct = await runCase(one, { target: server, root, client, survival: null });
        const proxied = await runCase(one, { target: proxy, root, client, survival });
        expect(proxied.lost).toEqual([]);
        if (isRefused) return expectRefusedEnd(direct, proxied);
        expect(seenIn(proxied)).toEqual(seenIn(direct));
      });

      test(`by ${name}: ${TEXTS} random texts (seed ${SEED})`, async () => {
        const random = seededRandom(SEED * 2 + Object.keys(CLIENTS).indexOf(name));
        for (let count = 0; count < TEXTS; count++) {
          const sql = randomText(random);
          const one = { name: sql, setup: SEVERAL_SETUP, sql };
          const survival = new Survival(root, ['d1', 'd2']);
          const direct = await runCase(one, { target: server, root, client, survival: null });
          const proxied = await runCase(one, { target: proxy, root, client, survival });
          expect({ sql, lost: proxied.lost }).toEqual({ sql, lost: [] });
          expect({ sql, ...seenIn(proxied) }).toEqual({ sql, ...seenIn(direct) });
        }
      });
    }
  },
  LONGEST_MS,
);

/** All the same but the last packet. */
function expectRefusedEnd(direct: CaseRun, proxied: CaseRun): void {
  expect(proxied.message).toMatch(/^UNDROP_/);
  expect(proxied.answer.slice(0, -1)).toEqual(direct.answer.slice(0, proxied.answer.length - 1));
}
