/**
 * Foreign keys that another session makes while a drop is under way, behind its look at the tables
 * and before its RENAME: they follow that, and are led back, or taken off, all the same.
 */
import { expect } from '@jest/globals';
import { onServers } from '../support/on-servers.js';
import { intentsSettled } from '../support/settled.js';
import { wireTap } from '../support/wire-tap.js';
import { sayTo } from './service-fixture.js';

onServers('keys that come late, on $name', (server, on) => {
  const { test } = on;
  let meanwhile: (() => Promise<unknown>) | null = null;
  const root = on.session();
  const mine = on.schema('late');
  const others = on.schema('late_others');
  const tap = on.open(() =>
    wireTap(server, async ({ moment, command }) => {
      const isRename = command.includes('RENAME /* undrop hold');
      if (moment !== 'before statement' || !isRename) return true;
      const work = meanwhile;
      meanwhile = null;
      await work?.();
      return true;
    }),
  );
  const proxy = on.proxy({}, { upstream: tap });

  const parentsOf = async (table: string): Promise<string[]> => {
    const shown = await root.show(`${others.name}.${table}`);
    return [...shown.matchAll(/REFERENCES (.*) \(/g)].map(([, to = '']) => to.replaceAll('`', ''));
  };

  const makeChild = (child: string, parent: string) =>
    root.query(`CREATE TABLE ${others.name}.${child} (id INT PRIMARY KEY,
      CONSTRAINT ${child}_key FOREIGN KEY (id) REFERENCES ${mine.name}.${parent} (id))`);

  const isReplaced = server.flavour === 'mariadb';
  const STATEMENTS = [
    'DROP TABLE parent',
    'DROP TABLE parent, beside',
    'DROP DATABASE `late`',
    ...(isReplaced ? ['CREATE OR REPLACE TABLE parent (id INT PRIMARY KEY)'] : []),
  ];

  /** Says it, and does `work` before its RENAME. */
  async function say(text: string, work: () => Promise<unknown>): Promise<void> {
    await root.query(`CREATE DATABASE IF NOT EXISTS ${mine.name}`);
    for (const table of ['parent', 'beside']) {
      await root.query(`CREATE TABLE IF NOT EXISTS ${mine.name}.${table} (id INT PRIMARY KEY)`);
    }
    meanwhile = work;
    const texts = ['SET foreign_key_checks = 0', text.replace('`late`', mine.name)];
    await sayTo(proxy, { schema: mine.name, texts });
    expect(meanwhile).toBeNull();
  }

  test.each(STATEMENTS)('%s: a child that is made then has its own name', async (text) => {
    await root.query(`DROP TABLE IF EXISTS ${others.name}.kid`);
    await say(text, () => makeChild('kid', 'parent'));
    expect(await parentsOf('kid')).toEqual([`${mine.name}.parent`]);
    await intentsSettled(root, [mine.name]);
  });

  test.each(STATEMENTS)('%s: what becomes a child then keeps nobody from a row', async (text) => {
    await root.query(`CREATE TABLE IF NOT EXISTS ${others.name}.live (id INT PRIMARY KEY)`);
    await root.query(`INSERT INTO ${others.name}.live VALUES (1)`);
    await say(text, async () => {
      await root.query(`INSERT INTO ${mine.name}.parent VALUES (1)`);
      await root.query(`ALTER TABLE ${mine.name}.parent ADD CONSTRAINT to_live
        FOREIGN KEY (id) REFERENCES ${others.name}.live (id)`);
    });
    await root.query(`DELETE FROM ${others.name}.live`);
    await intentsSettled(root, [mine.name]);
  });
});
