/**
 * ALTER TABLE … DROP and TRUNCATE PARTITION in worlds of which each answer is made up: what is
 * said, how many partitions are held, and how often the session was asked for its turn.
 */
import { describe, expect, test } from '@jest/globals';
import type {
  NotExchanged,
  PartitionPort,
} from '../../../src/statements/partitions/partition-port.js';
import { alterPartitions } from '../../../src/statements/partitions/partitions.js';
import { endIn, type TargetWorld } from '../../support/target-world.js';

interface Case extends Partial<TargetWorld> {
  readonly comment: string;
  readonly sql: string;
  readonly partitions?: readonly string[];
  readonly isDivided?: boolean;
  /** Try by try, the last for all that follow: how many are taken, and why no more. */
  readonly tries?: readonly (readonly [number, NotExchanged])[];
  readonly end: readonly [said: string | RegExp, held: number, turns: number];
}

const DROP = 'ALTER TABLE t DROP PARTITION p1';
const TRUNCATE = 'ALTER TABLE t TRUNCATE PARTITION p1, p2';
const OK = 'OK, 0 rows, 0 warnings';
const BUSY: NotExchanged = { kind: 'busy' };

const cases: readonly Case[] = [
  { comment: 'DROP on MySQL', sql: DROP, end: [OK, 1, 1] },
  { comment: 'DROP on MariaDB', sql: DROP, server: 'mariadb-11.8', end: [OK, 1, 1] },
  { comment: 'TRUNCATE', sql: TRUNCATE, end: [OK, 2, 1] },
  { comment: 'ALL', sql: 'ALTER TABLE t TRUNCATE PARTITION ALL', end: [OK, 3, 1] },
  { comment: 'in another case', sql: 'ALTER TABLE t DROP PARTITION P1', end: [OK, 1, 1] },
  {
    comment: 'one that is not there',
    sql: 'ALTER TABLE t DROP PARTITION p1, p9',
    end: [/^ERROR 1507 /, 0, 1],
  },
  {
    comment: 'one that is not there, IF EXISTS',
    sql: 'ALTER TABLE t DROP PARTITION IF EXISTS p1, p9',
    server: 'mariadb-11.8',
    end: [/with IF EXISTS/, 0, 0],
  },
  {
    comment: 'all by name',
    sql: 'ALTER TABLE t DROP PARTITION p1, p2, p3',
    end: [/^ERROR 1507 /, 0, 1],
  },
  {
    comment: 'one that comes twice',
    sql: 'ALTER TABLE t TRUNCATE PARTITION p1, P1',
    end: [/of one partition twice/, 0, 0],
  },
  { comment: 'with subpartitions', sql: DROP, isDivided: true, end: [/subpartitions/, 0, 1] },
  { comment: 'under LOCK TABLES', sql: DROP, isLocked: true, end: [/under LOCK TABLES/, 0, 1] },
  { comment: 'under a GTID', sql: DROP, gtidNext: 'a:1', end: [/UNDROP_NOT_DONE_YET/, 0, 0] },
  {
    comment: 'beside a backup',
    sql: DROP,
    hasBackupLock: true,
    end: [/LOCK INSTANCE FOR BACKUP/, 0, 1],
  },
  { comment: 'of MyISAM', sql: DROP, seen: { engine: 'MyISAM' }, end: [/another engine/, 0, 1] },
  { comment: 'not recorded', sql: DROP, noIntents: true, end: [/UNDROP_NOT_RECORDED/, 0, 1] },
  {
    comment: 'of no partitioned table',
    sql: TRUNCATE,
    turns: [[1505, 'HY000', 'not partitioned']],
    end: [/^ERROR 1505 /, 0, 1],
  },
  {
    comment: 'more than sixteen',
    sql: 'ALTER TABLE t TRUNCATE PARTITION ALL',
    partitions: Array.from({ length: 17 }, (_x, n) => `p${n}`),
    end: [/more than 16 partitions/, 0, 1],
  },
  { comment: 'at the second try', sql: DROP, tries: [[0, BUSY]], end: [OK, 1, 2] },
  { comment: 'one after the other', sql: TRUNCATE, tries: [[1, BUSY]], end: [OK, 2, 2] },
  {
    comment: 'rows that come again before the lock are held, too',
    sql: DROP,
    tries: [[1, { kind: 'gone' }]],
    end: [OK, 2, 2],
  },
  {
    comment: 'never',
    sql: DROP,
    tries: Array.from({ length: 12 }, () => [0, BUSY] as const),
    end: [/UNDROP_CHANGED_MEANWHILE.*tries: 12/, 0, 12],
  },
  {
    comment: 'one, and then the turn does not come',
    sql: TRUNCATE,
    tries: [[1, BUSY]],
    turns: [null, [1205, 'HY000', 'Lock wait timeout exceeded']],
    end: [/UNDROP_PARTITIONS_LEFT.*t#p1.*Lock wait timeout/, 1, 2],
  },
  {
    comment: 'that the service may not lock',
    sql: DROP,
    tries: [[0, { kind: 'denied', cause: 'it may not' }]],
    end: [/UNDROP_PRIVILEGES.*it may not/, 0, 1],
  },
  {
    comment: 'with columns of two ages',
    sql: DROP,
    tries: [[0, { kind: 'failed', cause: 'INSTANT COLUMN' }]],
    end: [/ALTER TABLE … FORCE/, 0, 1],
  },
  {
    comment: 'with system versions',
    sql: DROP,
    tries: [[0, { kind: 'versioned' }]],
    end: [/system versions/, 0, 1],
  },
];

describe('partitions', () => {
  test.each(cases)(
    '$comment',
    async ({ partitions = ['p1', 'p2', 'p3'], isDivided = false, tries = [], end, ...world }) => {
      let tried = 0;
      const facts = { isDivided, rowEstimate: null, byteEstimate: null };
      const port: PartitionPort = {
        readPartitions: async () => partitions.map((name) => ({ name, ...facts })),
        takePartitions: async ({ parts }) => {
          const [count, outcome] = tries[tried++] ?? [parts.length, { kind: 'renamed' as const }];
          const at = { holdSchema: '_undrop', holdName: 'h', relocated: true, failure: null };
          const ids = parts.slice(0, count).map(({ id }) => id);
          return { held: ids.map((id) => ({ id, ...at })), outcome };
        },
      };
      const { said, held, turns } = await endIn(world, (ports, request) =>
        alterPartitions(ports, port, request),
      );
      const [words, ...counts] = end;
      if (typeof words === 'string') expect(said).toBe(words);
      else expect(said).toMatch(words);
      expect([held, turns]).toEqual(counts);
    },
  );
});
