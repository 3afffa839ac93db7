/** One DROP of as many names as it may have is answered as by the server. */
import { expect, test } from '@jest/globals';
import { describeAnswer } from '../support/native-case.js';
import { proxyInFront } from '../support/proxy.js';
import { RawClient } from '../support/raw-client.js';
import { allTestServers, freshSchema } from '../support/servers.js';
import { listed } from '../support/undrop-cli.js';

/** MySQL 5.6 takes 4 MiB in a packet. */
const NAMES = 1_000;
/** In the first part, in one between, and the last of all. */
const THERE = [0, 500, NAMES - 1];

const ofMysql = allTestServers().filter(({ name }) => name === 'mysql-5.6');

test.each(ofMysql)('a drop of a thousand names on $name', async (server) => {
  const schema = await freshSchema(server);
  const names = Array.from({ length: NAMES }, (_, index) => `t_${index}`);
  const drop = `DROP TABLE IF EXISTS ${names.join(', ')}`;
  const proxy = await proxyInFront(server);
  const answers: (readonly string[])[] = [];
  for (const target of [server, proxy]) {
    await using client = await RawClient.open(target, { schema: schema.name });
    for (const at of THERE) {
      await client.run([`CREATE TABLE t_${at} (i INT)`, `INSERT INTO t_${at} VALUES (${at})`]);
    }
    answers.push(describeAnswer(await client.query(drop)));
  }
  expect(answers[1]).toEqual(answers[0]);
  await proxy.stop();
  const expected = THERE.map((at) => `t_${at}`);
  const held = (await listed(server)).filter((one) => one.schema === schema.name);
  expect(held.map(({ table }) => table).sort()).toEqual(expected.sort());
});
