/** A name whose addresses change for ever: those that nobody uses any more are forgotten. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from '@jest/globals';
import { silentLog } from '../../../src/log.js';
import { PoolSet } from '../../../src/service/pool/pool-set.js';
import { until } from '../../support/poll.js';

const ADDRESSES = 500;

test('pools that nobody uses are forgotten, and those that somebody has are not', async () => {
  const account = { user: 'undrop', password: '' };
  const pools = new PoolSet({ ...account, upstream: [], connectionsMax: 2, log: silentLog });
  const addressOf = (index: number) => ({ host: `192.0.2.${index % 250}`, port: 3306 + index });
  const kept = pools.at(addressOf(0));
  for (let index = 1; index < ADDRESSES; index++) pools.at(addressOf(index));
  expect(pools.at(addressOf(0))).toBe(kept);
  setFlagsFromString('--expose-gc');
  const collectGarbage = runInNewContext('gc') as () => void;
  await until(() => {
    collectGarbage();
    return pools.size < ADDRESSES / 10;
  }, 'most are forgotten');
  expect(pools.at(addressOf(0))).toBe(kept);
});
