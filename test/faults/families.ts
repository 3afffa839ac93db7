/**
 * Scene for killed drops: two tables with foreign keys of every kind, out, in, to themselves and
 * between each other, and with triggers, dropped with foreign_key_checks off while a child of one
 * lives on.
 */
import { expect } from '@jest/globals';
import type { Connection, RowDataPacket } from 'mysql2/promise';
import { until } from '../support/poll.js';
import type { Scene } from './scenes.js';

const TABLES = ['kid', 'a', 'b', 'p'] as const;
/** Definitions as they were made, by table; of triggers by name. */
const made = new Map<string, string>();
const TRIGGERS = ['first', 'second', 'third'] as const;

export const FAMILY: Scene = {
  title: 'a drop of tables with foreign keys and triggers',
  before: ['SET foreign_key_checks = 0'],
  // It gets one RENAME after the other, because both tables have triggers.
  inTurnOn: /mariadb/,
  make: async (connection, schema) => {
    const texts = [
      `USE ${schema}`,
      'SET foreign_key_checks = 0',
      ...TABLES.map((table) => `DROP TABLE IF EXISTS ${table}`),
      'SET foreign_key_checks = 1',
      'CREATE TABLE p (id INT PRIMARY KEY)',
      'CREATE TABLE b (id INT PRIMARY KEY)',
      `CREATE TABLE a (id INT PRIMARY KEY, pid INT, bid INT, self INT,
         CONSTRAINT named FOREIGN KEY (pid) REFERENCES p (id) ON DELETE CASCADE,
         FOREIGN KEY (bid) REFERENCES b (id), FOREIGN KEY (self) REFERENCES a (id))`,
      'CREATE TABLE kid (id INT, bid INT, FOREIGN KEY (bid) REFERENCES b (id))',
      'INSERT INTO p VALUES (1)',
      'INSERT INTO b VALUES (1), (2)',
      'INSERT INTO a VALUES (1, 1, 1, NULL), (2, 1, 2, 1), (3, 1, NULL, 2)',
      'INSERT INTO kid VALUES (1, 2)',
      'CREATE TRIGGER first BEFORE INSERT ON a FOR EACH ROW SET NEW.self = NULL',
      'CREATE TRIGGER third AFTER DELETE ON b FOR EACH ROW DELETE FROM kid',
      // A second one for the same event, where the server takes it.
      `CREATE TRIGGER second ${await eventOfSecond(connection)} ON a FOR EACH ROW SET @a = 1`,
    ];
    for (const text of texts) await connection.query(text);
    for (const table of TABLES) made.set(table, await show(connection, table));
    for (const name of TRIGGERS) made.set(name, await showTrigger(connection, name));
  },
  check: async (connection, _schema, when) => {
    // What was locked by the killed proxy's last statement is a debt for a moment.
    const isRestored = async () => (await show(connection, 'kid')) === made.get('kid');
    await until(isRestored, 'the child leads to its parent by name', 60_000).catch(() => undefined);
    expect(await show(connection, 'kid')).toBe(made.get('kid'));
    if (when === 'held') {
      const [triggers] = await connection.query<RowDataPacket[]>('SHOW TRIGGERS');
      expect(triggers).toEqual([]);
      return;
    }
    for (const table of TABLES) expect(await show(connection, table)).toBe(made.get(table));
    for (const name of TRIGGERS) expect(await showTrigger(connection, name)).toBe(made.get(name));
  },
};

/** MySQL 5.6 has the indexes of keys that were added again after the others: sorted there. */
async function show(connection: Connection, table: string): Promise<string> {
  const [rows] = await connection.query<RowDataPacket[]>(`SHOW CREATE TABLE ${table}`);
  const text = String(rows[0]?.['Create Table']);
  const [[server]] = await connection.query<RowDataPacket[]>('SELECT VERSION() AS version');
  if (!String(server?.['version']).startsWith('5.6.')) return text;
  return text.replaceAll(/,$/gm, '').split('\n').sort().join('\n');
}

async function showTrigger(connection: Connection, name: string): Promise<string> {
  const [[row]] = await connection.query<RowDataPacket[]>(`SHOW CREATE TRIGGER ${name}`);
  const [[place]] = await connection.query<RowDataPacket[]>(
    `SELECT ACTION_ORDER AS n FROM information_schema.TRIGGERS
     WHERE TRIGGER_SCHEMA = DATABASE() AND TRIGGER_NAME = ?`,
    [name],
  );
  // A RENAME writes the table's name anew.
  const text = String(row?.['SQL Original Statement']).replaceAll(/[`\s]+/g, ' ');
  return `${text} ${row?.['sql_mode']} ${place?.['n']}`;
}

async function eventOfSecond(connection: Connection): Promise<string> {
  return (await versionOf(connection)).startsWith('5.6') ? 'AFTER INSERT' : 'BEFORE INSERT';
}

async function versionOf(connection: Connection): Promise<string> {
  const [[row]] = await connection.query<RowDataPacket[]>('SELECT VERSION() AS version');
  return String(row?.['version']);
}
