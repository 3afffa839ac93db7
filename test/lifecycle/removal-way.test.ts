/** The version rule, as a table. */
import { describe, expect, test } from '@jest/globals';
import { removalWay } from '../../src/lifecycle/next-step.js';

describe('the version rule', () => {
  test.each([
    ['mysql', 50624, true, 'auto', 'purge evac'],
    ['mysql', 80022, false, 'auto', 'purge evac'],
    ['mysql', 80023, false, 'auto', ''],
    ['mysql', 80023, true, 'auto', 'evac'],
    ['mysql', 90704, false, 'auto', ''],
    ['mysql', 90704, true, 'auto', 'evac'],
    ['mariadb', 100528, false, 'auto', 'purge evac'],
    ['mariadb', 100600, false, 'auto', ''],
    ['mariadb', 101119, true, 'auto', 'evac'],
    ['mariadb', 110806, false, 'auto', ''],
    ['mysql', 50624, true, 'always', ''],
    ['mysql', 90704, true, 'always', ''],
    ['mysql', 90704, false, 'never', 'purge evac'],
    ['mariadb', 110806, false, 'never', 'purge evac'],
  ] as const)(
    '%s %i, adaptive hash index %s, UNDROP_FAST_DROP=%s: %s',
    (flavour, versionId, adaptiveHashIndex, fastDrop, expected) => {
      const way = removalWay({ flavour, versionId, adaptiveHashIndex }, fastDrop);
      const words = [...(way.purge ? ['purge'] : []), ...(way.evac ? ['evac'] : [])];
      expect(words.join(' ')).toBe(expected);
    },
  );
});
