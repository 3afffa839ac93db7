/** The texts that run while the client waits: what they ask which server, and what they learn. */

import { type Row, type Rows, renderQuery } from '../../../src/connections/sql.js';
import type { ServerShape } from '../../../src/ledger/intents/intent-text.js';
import { looksText, readIntentFacts, recordText } from '../../../src/ledger/intents/intent-text.js';
import type { DropIntent } from '../../../src/ledger/write.js';

const ID = '0192f0a1b2c37d4e8f5061728394a5b6';
const NOW = new Date('2026-11-20T08:09:10Z');
const MYSQL: ServerShape = {
  ...{ flavour: 'mysql', version: '9.7.4', versionId: 90704, lowerCaseTableNames: 0 },
  performanceSchema: true,
};
const OLD: ServerShape = { ...MYSQL, version: '5.6.24', versionId: 50624 };
const MARIADB: ServerShape = {
  ...MYSQL,
  ...{ flavour: 'mariadb', version: '11.8.9-MariaDB', versionId: 110809, performanceSchema: false },
};
const INTENT: DropIntent = {
  ...{ dropId: ID, proxyId: 'p', threadId: 7, user: 'u', clientAddress: '' },
  ...{ statementText: 'DROP TABLE t', holdMs: 1, tables: [{ id: ID, schema: 'Shop', table: 'T' }] },
};
const HOW = { rowLogged: true, again: false, together: null };

function textFor(server: ServerShape): string {
  return [...recordText(INTENT, server, HOW), ...looksText(INTENT, server)]
    .map(renderQuery)
    .join(';\n');
}

function rows(...records: readonly Row[]): Rows {
  return Object.assign([...records], { affectedRows: 0 });
}

function answers(version: string, ...keys: readonly Row[]) {
  const seen = {
    ...{ utcNow: NOW, version, host: 'h:4711', identity: 'h|3306', id: ID },
    ...{ schemaName: 'shop', tableName: 't', kind: 'base', engine: 'InnoDB' },
    ...{ rowEstimate: 3n, byteEstimate: 16384n, holdUntil: NOW },
  };
  return { record: [rows(), rows(), rows(), rows(seen)], looks: [rows(...keys), rows()] };
}

describe('the texts of an intent', () => {
  test.each([
    ['MySQL 8 and later', MYSQL, 'REFERENTIAL_CONSTRAINTS', 'INNODB_SYS_FOREIGN'],
    ['MySQL 5.6', OLD, 'INNODB_SYS_FOREIGN', 'REFERENTIAL_CONSTRAINTS'],
    ['MariaDB', MARIADB, 'INNODB_SYS_FOREIGN', 'REFERENTIAL_CONSTRAINTS'],
  ])('asks %s for foreign keys where it answers fast', (_name, server, asked, notAsked) => {
    expect(textFor(server)).toContain(asked);
    expect(textFor(server)).not.toContain(notAsked);
  });

  test.each([MYSQL, OLD, MARIADB])('looks for tables by constants alone, on $version', (server) => {
    const looks = textFor(server).match(/information_schema\.TABLES\s+WHERE [^)]*/g) ?? [];
    expect(looks).toHaveLength(1);
    for (const look of looks) expect(look).toContain("TABLE_SCHEMA = 'Shop' AND TABLE_NAME = 'T'");
    expect(textFor(server)).toContain("EVENT_OBJECT_SCHEMA = 'Shop' AND EVENT_OBJECT_TABLE = 'T'");
  });

  test('writes what reads no table, which replicas would read for themselves', () => {
    for (const server of [MYSQL, OLD, MARIADB]) {
      const record = recordText(INTENT, server, HOW);
      const [insert = ''] = record.map(renderQuery).filter((text) => /^INSERT/.test(text));
      expect(insert).not.toMatch(/information_schema|performance_schema|@@/);
    }
  });

  test('may be sent again when it is not known whether it arrived', () => {
    const again = recordText(INTENT, MYSQL, { ...HOW, again: true });
    expect(again.map(renderQuery)[2]).toMatch(/^INSERT IGNORE /);
  });
});

describe('the facts from its answers', () => {
  const key = (child: string, parent: string) => ({
    ...{ childSchema: 'shop', child, name: 'fk', parentSchema: 'SHOP', parent },
  });

  test('are those of a table under any case, where the server folds names', () => {
    const found = answers(OLD.version, key('C', 'T'), key('t', 'p'), key('T', 't'));
    const facts = readIntentFacts(INTENT, { ...OLD, lowerCaseTableNames: 1 }, found);
    expect(facts?.tables[0]).toEqual({
      ...{ id: ID, schema: 'shop', table: 't', kind: 'base', engine: 'InnoDB', rowEstimate: 3 },
      ...{ byteEstimate: 16384, holdUntil: NOW, foreignKeysOut: 1 },
      foreignKeysIn: [{ schema: 'shop', table: 'C', name: 'fk' }],
      ...{ foreignKeysToItself: [{ schema: 'shop', table: 'T', name: 'fk' }], crash: null },
      triggers: [],
    });
    expect(facts).toMatchObject({
      ...{ utcNow: NOW, sessionHost: 'h:4711', serverIdentity: 'h|3306', lockedTables: null },
      hasBackupLock: false,
    });
  });

  test('are none where the server is another one by now', () => {
    expect(readIntentFacts(INTENT, MYSQL, answers('9.8.0'))).toBeNull();
  });
});
