/** The script that brings a table back by hand. */
import * as parts from '../../../src/ledger/detached/detached.js';
import { restoreScript } from '../../../src/ledger/write.js';

const ID = '0192f0a1b2c37d4e8f5061728394a5b6';
const HOLD = `_vt_HOLD_${ID}_20261120080910`;
const FACTS = {
  ...{ id: ID, schema: 'shop', table: 'orders', droppedAt: new Date('2026-11-20T08:09:10Z') },
  ...{ holdSchema: '_undrop', holdName: HOLD, sqlLogBin: true, detached: null },
};

describe('the restore script', () => {
  test('is one RENAME, and says what it is', () => {
    expect(restoreScript(FACTS)).toBe(
      [
        `/* undrop ${ID}: dropped 2026-11-20 08:09:10 UTC. */`,
        '/* If the name is taken, move the table that has it out of the way first. */',
        `RENAME TABLE \`_undrop\`.\`${HOLD}\` TO \`shop\`.\`orders\`;`,
        '',
      ].join('\n'),
    );
  });

  test('keeps out of the binary log what the drop kept out of it', () => {
    expect(restoreScript({ ...FACTS, sqlLogBin: false })).toContain('SET SESSION sql_log_bin = 0;');
  });

  test('has names in quotes only, whatever is in them', () => {
    const table = '`;\n-- x\nDROP TABLE y; /*';
    const lines = restoreScript({ ...FACTS, table }).split('\n');
    expect(lines.slice(2).join('\n')).toBe(
      `RENAME TABLE \`_undrop\`.\`${HOLD}\` TO \`shop\`.\`\`\`;\n-- x\nDROP TABLE y; /*\`;\n`,
    );
  });
});

describe('the triggers in the restore script', () => {
  const trigger: parts.HeldTrigger = {
    ...{ name: 'tr', event: 'BEFORE INSERT', order: 1, definer: 'a@%', sqlMode: 'ANSI_QUOTES' },
    ...{ characterSetClient: 'latin1', collationConnection: 'latin1_swedish_ci' },
    ...{ databaseCollation: 'utf8mb4_bin', quote: '"', head: '', tail: '' },
    shownHead: 'CREATE DEFINER=`a`@`%` TRIGGER tr BEFORE INSERT ON ',
    shownTail: ' FOR EACH ROW SET NEW.v = 1 -- one',
  };
  const linesFor = (more: Partial<parts.HeldTrigger>) => {
    const detached = { ...parts.NOTHING_DETACHED, triggers: [{ ...trigger, ...more }] };
    return restoreScript({ ...FACTS, detached })
      .split('\n')
      .slice(3);
  };

  test('are made behind the RENAME, under their own modes, and the session is as before', () => {
    expect(linesFor({})).toEqual([
      'USE `shop`;',
      'SET @undrop_mode = @@SESSION.sql_mode, @undrop_client = @@SESSION.character_set_client,',
      '  @undrop_connection = @@SESSION.collation_connection;',
      "SET SESSION character_set_client = 'latin1', collation_connection = 'latin1_swedish_ci', " +
        "sql_mode = 'ANSI_QUOTES';",
      'CREATE DEFINER=`a`@`%` TRIGGER tr BEFORE INSERT ON "orders" FOR EACH ROW SET NEW.v = 1 -- one',
      ';',
      'SET SESSION sql_mode = @undrop_mode, character_set_client = @undrop_client,',
      '  collation_connection = @undrop_connection;',
      '',
    ]);
  });

  test('are in the charset of the client where they are not in ASCII', () => {
    const [, , , modes] = linesFor({ shownTail: " FOR EACH ROW SET NEW.v = 'ä'" });
    expect(modes).toContain('SET SESSION character_set_client = @undrop_client, ');
  });

  test('with several statements have a delimiter that is not in them', () => {
    const body = "FOR EACH ROW BEGIN SET @a = '$$'; SET @b = 1; END";
    const lines = linesFor({ shownTail: ` ${body}` });
    expect(lines.slice(4, 8)).toEqual([
      'DELIMITER $$$',
      `CREATE DEFINER=\`a\`@\`%\` TRIGGER tr BEFORE INSERT ON "orders" ${body}`,
      '$$$',
      'DELIMITER ;',
    ]);
  });
});

describe('the definition in the ledger', () => {
  test('has the own name of the table, and else what the server printed', () => {
    const printed = `CREATE TABLE \`${HOLD}\` (\n  CONSTRAINT \`${HOLD}_ibfk_1\` …`;
    expect(parts.ownDefinition(printed, HOLD, 'a`$&b')).toBe(
      `CREATE TABLE \`a\`\`$&b\` (\n  CONSTRAINT \`${HOLD}_ibfk_1\` …`,
    );
  });

  test('finds the name in lower case, as lower_case_table_names=1 prints it', () => {
    const printed = `CREATE TABLE \`${HOLD.toLowerCase()}\` (…)`;
    expect(parts.ownDefinition(printed, HOLD, 't')).toBe('CREATE TABLE `t` (…)');
  });

  test('stays as it is where the name is not in it', () => {
    expect(parts.ownDefinition('CREATE TABLE `t` (…)', HOLD, 't')).toBe('CREATE TABLE `t` (…)');
  });
});

// ── detached ─────────────────────────────────────────────────────────────────────────────────────
// What was taken off a table, as its row in the ledger has it.

const trigger = (name: string, event: string, order: number, tail = ''): parts.HeldTrigger => ({
  ...{ name, event, order, tail, definer: 'a@b', quote: '`', head: '', sqlMode: '' },
  ...{ shownHead: '', shownTail: '', characterSetClient: 'latin1' },
  ...{ collationConnection: 'latin1_swedish_ci', databaseCollation: 'utf8mb4_bin' },
});

describe('what was taken off a table', () => {
  test('has no triggers in a row from before they were taken off', () => {
    expect(parts.parseDetached('{"keysOut":[],"keysIn":[]}')).toEqual(parts.NOTHING_DETACHED);
  });

  test('is read as it was written, and nothing is written where there is nothing', () => {
    const triggers = [trigger('a', 'BEFORE INSERT', 1, '5A==')];
    const detached = { ...parts.NOTHING_DETACHED, triggers };
    expect(parts.parseDetached(parts.formatDetached(detached))).toEqual(detached);
    expect(parts.formatDetached(parts.NOTHING_DETACHED)).toBe(null);
  });

  test('is refused where a mode or a charset is more than a word', () => {
    const odd = { ...trigger('a', 'BEFORE INSERT', 1), sqlMode: "'; DROP TABLE t" };
    const text = JSON.stringify({ ...parts.NOTHING_DETACHED, triggers: [odd] });
    expect(() => parts.parseDetached(text)).toThrow('Invariant');
  });

  const merged = (before: readonly parts.HeldTrigger[], found: readonly parts.HeldTrigger[]) =>
    parts.mergeDetached(
      { ...parts.NOTHING_DETACHED, triggers: before },
      { ...parts.NOTHING_DETACHED, triggers: found },
    ).triggers;
  const inserts = (names: string, tail = '') =>
    names.split(' ').map((name, index) => trigger(name, 'BEFORE INSERT', index + 1, tail));

  test.each([
    ['one of them is found', 'z a', 'z', 'z a'],
    ['two recoveries have made them again in another order', 'z a', 'a z', 'z a'],
  ])('keeps its triggers and their order where %s', (_where, before, found, expected) => {
    const names = merged(inserts(before), inserts(found)).map(({ name }) => name);
    expect(names).toEqual(expected.split(' '));
  });

  test('has triggers that somebody changed as they are now', () => {
    const found = inserts('a z', 'bmV3');
    expect(merged(inserts('z a'), found)).toEqual(found);
  });

  test('has its triggers in the order in which they are made, as they were found last', () => {
    const found = [trigger('other', 'AFTER DELETE', 1), trigger('one', 'BEFORE INSERT', 1, 'bmV3')];
    const triggers = merged(inserts('one two three'), found);
    expect(triggers.map(({ name }) => name)).toEqual(['other', 'one', 'two', 'three']);
    expect(triggers[1]?.tail).toBe('bmV3');
  });
});
