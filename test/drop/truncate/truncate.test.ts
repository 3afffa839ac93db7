/**
 * A TRUNCATE in worlds of which each answer is made up: what is said, how many tables are held, and
 * how often the session was asked for its turn.
 */
import { readFileSync } from 'node:fs';
import type { CopyPort, SeenTable } from '../../../src/drop/truncate/copy-port.js';
import { truncate } from '../../../src/drop/truncate/truncate.js';
import type { ForeignKey } from '../../../src/ledger/detached/detached.js';
import { endIn, type TargetWorld } from '../../support/target-world.js';

type Said = string | { readonly matches: string };

/** One of test/golden/truncate_cases.json. */
interface Case extends Partial<TargetWorld> {
  readonly comment: string;
  /** What is read of what is held, time by time; `same`: as the copy. Default: the same. */
  readonly now?: readonly string[];
  readonly copy?: Awaited<ReturnType<CopyPort['makeCopy']>>;
  /** The foreign keys of the table; default: none. */
  readonly keys?: readonly ForeignKey[];
  readonly end: readonly [said: Said, held: number, turns: number];
}

const FK: ForeignKey = {
  ...{ name: 'fk', columns: ['v'], parentSchema: 'shop', parentTable: 'parent' },
  ...{ parentColumns: ['v'], onDelete: null, onUpdate: null, index: 'fk' },
};

const cases: readonly Case[] = JSON.parse(readFileSync('test/golden/truncate_cases.json', 'utf8'));

test.each(cases)('a TRUNCATE: $comment', async ({ now = [], copy, keys = [], end, ...world }) => {
  let [reads, unused] = [0, 0];
  const copies: CopyPort = {
    clauseOf: async () => '',
    makeCopy: async () => {
      if (copy !== undefined) return copy;
      unused++;
      const place = { id: '01', schema: '_undrop', table: 'c' };
      return { kind: 'copy', ...place, fingerprint: 'same', keys, isLater: false };
    },
    dropCopy: async () => {
      unused--;
    },
    freeHeld: async ({ place }) => {
      const fingerprint = now[reads++] ?? 'same';
      const seen: SeenTable = { fingerprint, added: fingerprint === 'keyed' ? [FK] : [] };
      const at = { holdSchema: place.schema, holdName: place.table };
      return { now: seen, ...at, pendingWork: null };
    },
  };
  const { said, held, turns } = await endIn({ sql: 'TRUNCATE t', ...world }, (port, request) =>
    truncate(port, { copies: () => copies, passing: null }, request),
  );
  const [words, ...counts] = end;
  if (typeof words === 'string') expect(said).toBe(words);
  else expect(said).toMatch(new RegExp(words.matches));
  expect([held, turns]).toEqual(counts);
  // Each copy has the table's name, or is gone.
  expect(unused).toBe(held);
});
