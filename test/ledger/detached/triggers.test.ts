/** The list of triggers that were taken off a table, as it grows from look to look. */
import { describe, expect, test } from '@jest/globals';
import { type HeldTrigger, mergeTriggers } from '../../../src/ledger/detached/detached.js';

function trigger(name: string, order: number, text = 'SET @a = 1'): HeldTrigger {
  return {
    name,
    event: 'BEFORE INSERT',
    order,
    definer: 'root@%',
    sqlMode: '',
    characterSetClient: 'utf8mb4',
    collationConnection: 'utf8mb4_general_ci',
    databaseCollation: 'utf8mb4_general_ci',
    quote: '`',
    head: Buffer.from(`CREATE DEFINER=root@\`%\` TRIGGER ${name} BEFORE INSERT ON `).toString(
      'base64',
    ),
    tail: Buffer.from(` FOR EACH ROW ${text}`).toString('base64'),
    shownHead: '',
    shownTail: '',
  };
}

const namesOf = (triggers: readonly HeldTrigger[]) => triggers.map(({ name }) => name);

describe('triggers of a held table', () => {
  test('that are taken off one after another stay in the list, in their order', () => {
    const before = [trigger('z', 1), trigger('a', 2)];
    expect(namesOf(mergeTriggers(before, [trigger('z', 1)]))).toEqual(['z', 'a']);
    expect(namesOf(mergeTriggers(before, []))).toEqual(['z', 'a']);
  });

  test('keep their order where two recoveries have made them again in another', () => {
    const before = [trigger('z', 1), trigger('a', 2)];
    const found = [trigger('a', 1), trigger('z', 2)];
    expect(namesOf(mergeTriggers(before, found))).toEqual(['z', 'a']);
  });

  test('that somebody has changed are listed as they are now', () => {
    const before = [trigger('z', 1), trigger('a', 2)];
    const found = [trigger('a', 1, 'SET @a = 2'), trigger('z', 2, 'SET @a = 2')];
    expect(mergeTriggers(before, found)).toEqual(found);
  });
});
