/** Who waits for whom. */
import { expect, test } from '@jest/globals';
import type { ServicePool } from '../../../src/service/pool/pools.js';
import { inQueue } from '../../../src/statements/undrop/find-dropped.js';

const pool = {} as ServicePool;

test('a user waits for himself, and for nobody else, whatever became of it', async () => {
  const done: string[] = [];
  let end: () => void = () => undefined;
  const never = new Promise<void>((_resolve, reject) => {
    end = () => reject(new Error('over'));
  });
  const work = (what: string) => async () => void done.push(what);
  const first = inQueue(pool, 'read hostile', () => never);
  const second = inQueue(pool, 'read hostile', work('hostile'));
  await inQueue(pool, 'read other', work('other'));
  await inQueue(pool, 'restore hostile', work('restore'));
  expect(done).toEqual(['other', 'restore']);
  end();
  await expect(first).rejects.toThrow('over');
  await second;
  expect(done).toEqual(['other', 'restore', 'hostile']);
});
