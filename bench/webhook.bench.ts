/**
 * What a webhook costs a client that drops: the same drop through proxies without one, and with
 * receivers that answer, hang and refuse, in turns. Each drop is one of a schema, and so news.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type ProxyProcess, spawnProxy, type Variables } from '../test/support/proxy.js';
import { connect, type Session, startServer } from '../test/support/servers.js';
import { receiveHooks } from '../test/support/webhook-receiver.js';
import { formatRatio, machineLoad, pairedRatios, report, spread } from './report.js';

const SERVER = process.env['BENCH_SERVER'] ?? 'mysql-9.7';
const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? '100');
const ROWS = 100;

interface Way {
  readonly name: string;
  readonly proxy: ProxyProcess;
  readonly client: Session;
  readonly ms: number[];
}

const loadBefore = machineLoad();
const server = await startServer(SERVER);
const answers = await receiveHooks();
const hangs = await receiveHooks();
hangs.answer = () => undefined;
const gone = await receiveHooks();
await gone[Symbol.asyncDispose]();
const ways: Way[] = [];
try {
  const direct = await connect(server);
  await open('no webhook', null);
  await open('a receiver that answers', answers.url);
  await open('one that hangs', hangs.url);
  await open('one that is gone', gone.url);
  const values = Array.from({ length: ROWS }, (_, id) => `(${id})`).join(',');
  for (let round = 0; round < ROUNDS; round++) {
    for (let step = 0; step < ways.length; step++) {
      const way = ways[(round + step) % ways.length];
      if (way === undefined) continue;
      await direct.query('CREATE DATABASE small');
      await direct.query('CREATE TABLE small.small (id INT PRIMARY KEY)');
      await direct.query(`INSERT INTO small.small VALUES ${values}`);
      // The relocation of the one before is over.
      await sleep(30);
      const beganMs = performance.now();
      await way.client.query('DROP DATABASE small');
      way.ms.push(performance.now() - beganMs);
    }
  }
  const [plain] = ways;
  report({
    title: 'A webhook and the client that drops',
    how:
      `${SERVER}, a schema of one table of ${ROWS} rows, ${ROUNDS} rounds in turns; medians ` +
      `in ms, and the median, lowest and highest ratio in a round. Load before: ${loadBefore}.`,
    columns: ['webhook', 'drop ms', 'of without'],
    rows: ways.map(({ name, ms }) => [
      name,
      spread(ms).median.toFixed(2),
      formatRatio(pairedRatios(ms, plain?.ms ?? [])),
    ]),
  });
  await direct.end();
} finally {
  for (const { client, proxy } of ways) {
    await client.end();
    await proxy.stop();
  }
  for (const receiver of [answers, hangs]) await receiver[Symbol.asyncDispose]();
  await server.stop();
}

async function open(name: string, url: string | null): Promise<void> {
  const hook: Variables = url === null ? {} : { WEBHOOK: url };
  const proxy = await spawnProxy(server, { HOLD: '1h', COLLECT: 'on', ...hook });
  const client = await connect(proxy);
  ways.push({ name, proxy, client, ms: [] });
}
