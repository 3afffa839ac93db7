/** What `/readyz` answers while the service account's connections are busy, delayed or refused. */
import { Watch } from '../../../src/cli/serve/watch.js';
import { newCollectorFigures } from '../../../src/lifecycle/figures.js';
import { silentLog } from '../../../src/log.js';
import { newCounters } from '../../../src/metrics.js';
import { describeAddress } from '../../../src/service/server-address.js';
import { BoundSockets } from '../../../src/session/bound-sockets.js';

const never = () => new Promise<never>(() => undefined);
let watch: Watch | null = null;

afterEach(() => watch?.close());

async function statusesWith(options: {
  readonly mode?: string;
  readonly answers: () => Promise<boolean>;
  readonly greets: () => Promise<boolean>;
  readonly dropProblem: () => Promise<string | null>;
}): Promise<readonly string[]> {
  const { mode = 'hold', ...doors } = options;
  const address = { host: '127.0.0.1', port: 0 };
  const bound = await new BoundSockets().bind([{ purpose: 'admin', address }]);
  const listen = bound.map((one) => describeAddress(one.address)).join();
  const figures = newCollectorFigures();
  const off = { console: null, accept: null, isAway: () => false };
  const seen = { counters: newCounters, certificates: [], dataFolder: null };
  const own = { figures, log: silentLog, mode, ...seen, ...off };
  watch = await Watch.open(bound, { ...own, ...doors });
  const ask = async (path: string) => {
    const response = await fetch(`http://${listen}${path}`);
    return `${response.status} ${await response.text()}`;
  };
  return [await ask('/readyz'), await ask('/readyz?drops')];
}

test('a server that greets clients is ready for them, whatever the service account meets', async () => {
  const dropProblem = async () => 'the service account cannot log in: it is locked';
  const refused = `503 ${await dropProblem()}\n`;
  for (const answers of [never, async () => false, async () => true]) {
    const statuses = await statusesWith({ answers, greets: async () => true, dropProblem });
    expect(statuses).toEqual(['200 ready\n', refused]);
    await watch?.close();
  }
});

test('a ledger that does not answer costs drops', async () => {
  const answers = async () => true;
  const statuses = await statusesWith({ answers, greets: never, dropProblem: never });
  const late = '503 the ledger is not ready: no answer within 2 s\n';
  expect(statuses).toEqual(['200 ready\n', late]);
});

test('a mode that holds nothing is ready for clients alone', async () => {
  const dropProblem = async () => null;
  const answers = async () => true;
  const options = { mode: 'observe', answers, greets: never, dropProblem };
  expect(await statusesWith(options)).toEqual([
    '200 ready\n',
    '503 UNDROP_MODE is observe: nothing is held\n',
  ]);
});
