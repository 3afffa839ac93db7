/** Whether a service is ready while the service account's connections are busy or refused. */
import { Health } from '../../../src/runtime/serve/health.js';

const never = () => new Promise<never>(() => undefined);
const yes = async () => true;
const NO_TIME = 'the ledger is not ready: no answer within 2 s';
const LOCKED = 'the service account cannot log in: it is locked';
const locked = async () => LOCKED;

test.each<[string, Partial<ConstructorParameters<typeof Health>[0]>, readonly string[]]>([
  ['a server that greets clients, and no pool that answers', { answers: never }, [LOCKED]],
  ['a server that refuses the account', { answers: async () => false }, [LOCKED]],
  ['an account that is refused later', {}, [LOCKED]],
  ['a ledger that does not answer', { greets: never, dropProblem: never }, [NO_TIME]],
  ['a mode', { mode: 'observe', greets: never }, ['UNDROP_MODE is observe: nothing is held']],
])('%s is ready for clients alone', async (_what, options, ofDrops) => {
  const fixed = { mode: 'hold', isAway: () => false, answers: yes, greets: yes };
  const health = new Health({ ...fixed, dropProblem: locked, ...options });
  expect(await health.problems({ drops: false })).toEqual([]);
  expect(await health.problems({ drops: true })).toEqual(ofDrops);
});
