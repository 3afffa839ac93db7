/**
 * A TRUNCATE in worlds of which each answer is made up: what is said, how many tables are held, and
 * how often the session was asked for its turn.
 */
import { describe, expect, test } from '@jest/globals';
import type { ForeignKey } from '../../../src/ledger/detached/detached.js';
import type { CopyPort, SeenTable } from '../../../src/statements/truncate/copy-port.js';
import { truncate } from '../../../src/statements/truncate/truncate.js';
import { endIn, type TargetWorld } from '../../support/target-world.js';

interface Case extends Partial<TargetWorld> {
  readonly comment: string;
  /** What is read of what is held, time by time; `same`: as the copy. Default: the same. */
  readonly now?: readonly string[];
  readonly copy?: Awaited<ReturnType<CopyPort['makeCopy']>>;
  /** The foreign keys of the table; default: none. */
  readonly keys?: readonly ForeignKey[];
  readonly end: readonly [said: string | RegExp, held: number, turns: number];
}

const OK = 'OK, 0 rows, 0 warnings';
const CHANGED = /^ERROR 1205 \(HY000\): UNDROP_CHANGED_MEANWHILE: Table t was not dropped/;
const LACKS = /UNDROP_CHANGED_MEANWHILE: Table shop\.t was emptied and lacks an ALTER TABLE/;
const LOCKED = [1205, 'HY000', 'Lock wait timeout exceeded'] as const;
const GONE = [1146, '42S02', "Table 'shop.t' doesn't exist"] as const;
const KEY = { schema: 'shop', table: 'child', name: 'fk' };

const FK: ForeignKey = {
  name: 'fk',
  columns: ['v'],
  parentSchema: 'shop',
  parentTable: 'parent',
  parentColumns: ['v'],
  onDelete: null,
  onUpdate: null,
  index: 'fk',
};

const cases: readonly Case[] = [
  { comment: 'of a base table', end: [OK, 1, 1] },
  { comment: 'of a temporary table goes to the server', seenAs: 'temporary', end: [OK, 0, 0] },
  { comment: 'of a view', seenAs: 'view', end: [/^ERROR 1146 .*doesn't exist$/, 0, 1] },
  { comment: 'of nothing', turns: [GONE], end: [/^ERROR 1146 /, 0, 1] },
  {
    comment: 'that the server does not understand',
    syntaxError: [1064, '42000', 'You have an error'],
    end: [/^ERROR 1064 /, 0, 0],
  },
  { comment: 'under a GTID', gtidNext: 'a:1', end: [/UNDROP_NOT_DONE_YET/, 0, 0] },
  { comment: 'whose turn never comes', turns: [LOCKED], end: [/^ERROR 1205 .*: Lock wait/, 0, 1] },
  { comment: 'that can not be recorded', noIntents: true, end: [/UNDROP_NOT_RECORDED/, 0, 1] },
  { comment: 'on another server', isElsewhere: true, end: [/UNDROP_SESSION_NOT_FOUND/, 0, 1] },
  {
    comment: 'of a sequence',
    server: 'mariadb-11.8',
    seen: { kind: 'sequence' },
    end: [/^ERROR 1031 /, 0, 1],
  },
  { comment: 'of a parent', seen: { foreignKeysIn: [KEY] }, end: [/^ERROR 1701 /, 0, 1] },
  { comment: 'of a child', seen: { foreignKeysOut: 1 }, end: [OK, 1, 1] },
  { comment: 'of a tree', seen: { foreignKeysToItself: [KEY] }, end: [OK, 1, 1] },
  { comment: 'with triggers', seen: { triggers: ['tr'] }, end: [/with triggers\./, 0, 1] },
  { comment: 'of MyISAM', seen: { engine: 'MyISAM' }, end: [/another engine/, 0, 1] },
  { comment: 'beside a backup', hasBackupLock: true, end: [/LOCK INSTANCE FOR BACKUP/, 0, 1] },
  { comment: 'under LOCK TABLES', isLocked: true, end: [/under LOCK TABLES/, 0, 1] },
  { comment: 'that goes while it is looked at', seen: { engine: null }, end: [CHANGED, 0, 12] },
  {
    comment: 'that can have no copy',
    copy: { kind: 'none', why: 'and has a CHECK' },
    end: [/by TRUNCATE and has a CHECK/, 0, 1],
  },
  {
    comment: 'of a table with system versions',
    copy: { kind: 'versioned' },
    end: [/^ERROR 4137 /, 0, 1],
  },
  {
    comment: 'whose service is lost',
    copy: { kind: 'unserved', cause: 'it is away' },
    end: [/UNDROP_SERVICE_FAILED.*run the statement again/, 0, 1],
  },
  {
    comment: 'once others let it',
    takes: [{ kind: 'busy' }, { kind: 'renamed' }],
    end: [OK, 1, 2],
  },
  { comment: 'that others never let', takes: [{ kind: 'busy' }], end: [CHANGED, 0, 12] },
  {
    comment: 'beside a lock of InnoDB, as long as the session waits',
    takes: [{ kind: 'busy', isTimeout: true }],
    end: ['ERROR 1205 (HY000): Lock wait timeout exceeded; try restarting transaction', 0, 2],
  },
  {
    comment: 'without the right of the service',
    takes: [{ kind: 'denied', cause: 'it may not' }],
    end: [/UNDROP_PRIVILEGES.*it may not/, 0, 1],
  },
  {
    comment: 'that the server does not rename',
    takes: [{ kind: 'failed', cause: 'odd', errno: 1025 }],
    end: [/UNDROP_HOLD_FAILED.*odd/, 0, 1],
  },
  ...[1435, 1826, 1050].map((errno) => ({
    comment: `after a trigger came, or while the name of a key is taken (${errno})`,
    takes: [{ kind: 'failed', cause: 'odd', errno }, { kind: 'renamed' }] as const,
    end: [OK, 1, 2] as const,
  })),
  { comment: 'beside an ALTER', now: ['altered', 'same'], end: [OK, 2, 2] },
  { comment: 'beside an ALTER that adds a key', now: ['keyed', 'same'], end: [OK, 2, 2] },
  { comment: 'beside one that drops a key', keys: [FK], end: [OK, 1, 1] },
  { comment: 'beside two ALTERs', now: ['altered', 'twice'], end: [LACKS, 2, 2] },
  {
    comment: 'beside an ALTER, and a lock',
    now: ['altered'],
    turns: [null, LOCKED],
    end: [LACKS, 1, 2],
  },
  { comment: 'beside an ALTER and a DROP', now: ['altered'], turns: [null, GONE], end: [OK, 1, 2] },
];

describe('a TRUNCATE', () => {
  test.each(cases)('$comment', async ({ now = [], copy, keys = [], end, ...world }) => {
    let reads = 0;
    const copies: CopyPort = {
      makeCopy: async () =>
        copy ?? { kind: 'copy', schema: '_undrop', table: 'c', fingerprint: 'same', keys },
      freeHeld: async () => {
        const fingerprint = now[reads++] ?? 'same';
        const seen: SeenTable = { fingerprint, added: fingerprint === 'keyed' ? [FK] : [] };
        return { now: seen, failure: null };
      },
    };
    const { said, held, turns } = await endIn({ sql: 'TRUNCATE t', ...world }, (port, request) =>
      truncate(port, copies, request),
    );
    const [words, ...counts] = end;
    if (typeof words === 'string') expect(said).toBe(words);
    else expect(said).toMatch(words);
    expect([held, turns]).toEqual(counts);
  });
});
