/**
 * ALTER TABLE … DROP and TRUNCATE PARTITION in worlds of which each answer is made up: what is
 * said, how many partitions are held, and how often the session was asked for its turn.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import type {
  NotExchanged,
  PartitionPort,
} from '../../../src/statements/partitions/partition-port.js';
import { alterPartitions } from '../../../src/statements/partitions/partitions.js';
import { endIn, type TargetWorld } from '../../support/target-world.js';

type Said = string | { readonly matches: string };

/** One of test/golden/partitions_cases.json. */
interface Case extends Partial<TargetWorld> {
  readonly comment: string;
  readonly sql: string;
  readonly partitions?: readonly string[];
  readonly isDivided?: boolean;
  /** Try by try, the last for all that follow: how many are taken, and why no more. */
  readonly tries?: readonly (readonly [number, NotExchanged])[];
  readonly end: readonly [said: Said, held: number, turns: number];
}

const cases: readonly Case[] = JSON.parse(
  readFileSync('test/golden/partitions_cases.json', 'utf8'),
);

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
      else expect(said).toMatch(new RegExp(words.matches));
      expect([held, turns]).toEqual(counts);
    },
  );
});
