/**
 * The pages of the console in a real Chromium, against real servers: what people do with them, by
 * mouse, by keyboard alone, and without a script; and that each has no finding of axe-core.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { findingsOf, openChromium, type Page } from '../support/chromium.js';
import { consoleOn, OPERATOR, OWNER, PASSWORD } from '../support/console.js';
import { projectFolder } from '../support/folders.js';
import { onServers } from '../support/on-servers.js';
import { adminOf } from '../support/proxy.js';
import { isLong } from '../support/sample.js';
import { query } from '../support/servers.js';

onServers('the pages of the console on $name', (server, on) => {
  const { beforeEach, test } = on;
  const options = { MAX_TABLES: '1000' };
  const { schema, account, proxy, drop, tables } = consoleOn(server, on, options);
  const browser = on.open(openChromium, (it) => it.close());
  const viewport = { width: 1280, height: 900 };
  const context = on.each.open(
    () => browser.newContext({ viewport }),
    (it) => it.close(),
  );
  beforeEach(() =>
    account(OPERATOR, `ALL ON ${schema.name}.*`, 'SELECT, UPDATE ON _undrop.ledger'),
  );

  const at = (path: string) => `http://${adminOf(proxy)}/console${path}`;

  async function signIn(user = OWNER, of = context): Promise<Page> {
    const page = await of.newPage();
    await page.goto(at(''));
    await page.getByLabel('User').fill(user);
    await page.getByLabel('Password').fill(PASSWORD);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('heading', { name: 'Overview' }).waitFor();
    return page;
  }

  async function find(page: Page, name: string): Promise<void> {
    await page.getByRole('link', { name: 'Dropped tables' }).click();
    await page.getByLabel('Name, id, user or statement').fill(name);
    await page.getByRole('button', { name: 'Search' }).click();
    await page.getByRole('link', { name: `${schema.name}.${name}`, exact: true }).click();
    await page.getByRole('heading', { name: `${schema.name}.${name}`, level: 1 }).waitFor();
  }

  const says = (page: Page, text: string | RegExp) =>
    page.locator('.flash', { hasText: text }).waitFor();

  test('finds a table, shows what a restore does, restores, swaps, holds', async () => {
    await drop('a', 'b', 'c', 'd');
    const page = await signIn();
    await find(page, 'a');
    await page.getByText(`${schema.name}.a`, { exact: true }).first().waitFor();
    await page.getByRole('button', { name: 'Restore now' }).click();
    await says(page, 'Restored');
    expect(await tables()).toEqual(['a']);

    await find(page, 'b');
    await page.getByText('In another way').click();
    await page.getByLabel('Under another name').fill(`${schema.name}.b_old`);
    await page.getByRole('button', { name: 'Show what would happen' }).click();
    await page.getByText(`${schema.name}.b_old`, { exact: true }).waitFor();
    await page.getByRole('button', { name: 'Restore now' }).click();
    await says(page, 'Restored');

    await query(server, `CREATE TABLE ${schema.name}.c (id INT)`);
    await find(page, 'c');
    // The server estimates them.
    await page.getByText(/\.c exists, with about \d+ rows?, made /).waitFor();
    expect(await page.getByRole('button', { name: 'Restore now' }).count()).toBe(0);
    await page.getByRole('button', { name: 'Swap', exact: true }).click();
    await says(page, 'Restored');
    expect(await tables()).toEqual(['a', 'b_old', 'c']);

    await find(page, 'd');
    await page.getByLabel('Hold for', { exact: true }).fill('9d');
    await page.getByRole('button', { name: 'Hold', exact: true }).click();
    await says(page, 'is held until');
  });

  test('restores a dropped schema of 120 tables, with progress', async () => {
    await drop('before');
    const names = Array.from({ length: 120 }, (_, at) => `t${at}`);
    for (const name of names) await query(server, `CREATE TABLE ${schema.name}.${name} (id INT)`);
    await query(proxy, `DROP DATABASE ${schema.name}`);
    const page = await signIn();
    await page.getByRole('link', { name: 'Dropped tables' }).click();
    await page.getByRole('link', { name: `${schema.name}.before` }).waitFor();
    await page.getByRole('link', { name: `120 tables of ${schema.name}` }).click();
    await page.getByRole('button', { name: 'Restore all 120 tables' }).click();
    await page.getByText('Restored 120 tables').waitFor();
    expect(await page.locator('progress').getAttribute('value')).toBe('1');
    expect((await tables()).length).toBe(120);
  });

  test('undoes the last drop by one click, on the first page', async () => {
    await drop('a');
    const page = await signIn();
    await page.getByRole('button', { name: 'Restore', exact: true }).click();
    await page.getByText('Done: 1; failed: 0.').waitFor();
    expect(await tables()).toEqual(['a']);
  });

  test('undoes statements in a row by one button, in exchange for live tables', async () => {
    // More statements than a page has.
    const names = Array.from({ length: 60 }, (_, at) => `m${10 + at}`);
    await drop(...names);
    await query(server, `CREATE TABLE ${schema.name}.m12 (id INT, newer INT)`);
    const page = await signIn();
    await page.getByRole('link', { name: '60 tables' }).click();
    await page.getByRole('button', { name: 'Restore all of these' }).click();
    await page.getByText('Nothing was restored').first().waitFor();
    await page.goto(at(''));
    await page.getByRole('button', { name: 'Swap' }).click();
    await page.getByText('Done: 60; failed: 0.').waitFor();
    expect(await tables()).toEqual(names);
    expect(await query(server, `SHOW COLUMNS FROM ${schema.name}.m12`)).toHaveLength(1);
  });

  test('undoes what a line names, and nothing besides', async () => {
    await drop('a1', 'b1', 'a2', 'b2', 'a3', 'b3');
    const page = await signIn();
    await page.goto(at(`/tables?q=${schema.name}.a`));
    // Of what is found, each table is chosen by itself.
    expect(await page.getByRole('button', { name: 'Restore', exact: true }).count()).toBe(0);
    expect(await page.getByRole('link', { name: `${schema.name}.b1` }).count()).toBe(0);
    await query(server, `CREATE TABLE ${schema.name}.a1 (id INT)`);
    await query(proxy, `UNDROP TABLE ${schema.name}.a1 SWAP`);
    await drop('c1', 'c2', 'c3', 'c4', 'c5');
    await page.goto(at(''));
    await page.locator('tr:has-text("c4") button').click();
    await page.getByText('Done: 5; failed: 0.').waitFor();
    expect(await tables()).toEqual(['a1', 'c1', 'c2', 'c3', 'c4', 'c5']);
  });

  test('restores several that are chosen, and says what failed', async () => {
    await drop('a', 'b');
    await query(server, `CREATE TABLE ${schema.name}.b (id INT)`);
    const page = await signIn();
    await page.goto(at('/tables?view=tables'));
    await page.getByLabel('all of this page').check();
    // Enter in a field is no button.
    await page.getByLabel('Hold for').fill('9d');
    await page.keyboard.press('Enter');
    await page.getByRole('button', { name: 'Restore the chosen' }).click();
    await page.getByText('Done: 1; failed: 1.').waitFor();
    await page.getByText('Restored').first().waitFor();
    expect(await tables()).toEqual(['a', 'b']);
  });

  test('by keyboard alone', async () => {
    await drop('a');
    const page = await context.newPage();
    await page.goto(at('/tables'));
    // The first field has the focus.
    await page.locator('input[name="user"]:focus').waitFor();
    await page.keyboard.type(OWNER);
    await page.keyboard.press('Tab');
    await page.keyboard.type(PASSWORD);
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Dropped tables' }).waitFor();
    await tabTo(page, `${schema.name}.a`);
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: `${schema.name}.a`, level: 1 }).waitFor();
    await tabTo(page, 'Restore now');
    await page.keyboard.press('Enter');
    await says(page, 'Restored');
    expect(await tables()).toEqual(['a']);
  });

  test('without a script', async () => {
    const plain = await browser.newContext({ javaScriptEnabled: false });
    try {
      await drop('a', 'b');
      const page = await signIn(OWNER, plain);
      await find(page, 'a');
      await page.getByRole('button', { name: 'Restore now' }).click();
      await says(page, 'Restored');
      await page.goto(at('/tables?view=tables'));
      await page.getByLabel(`${schema.name}.b`).check();
      await page.getByRole('button', { name: 'Restore the chosen' }).click();
      await page.getByText('Done: 1; failed: 0.').waitFor();
      await page.getByRole('button', { name: 'Sign out' }).click();
      await page.getByRole('heading', { name: 'Sign in' }).waitFor();
      expect(await tables()).toEqual(['a', 'b']);
    } finally {
      await plain.close();
    }
  });

  test('names that are HTML are text, and nothing of them runs', async () => {
    const odd = `<img src=x onerror="document.title='run'">'\n"`;
    await drop(odd);
    const page = await signIn(OPERATOR);
    await page.goto(at('/tables'));
    await page.getByRole('link', { name: `${schema.name.slice(0, 15)}` }).click();
    await page.getByRole('heading', { name: '<img', level: 1 }).waitFor();
    expect(await page.locator('img').count()).toBe(0);
    expect(await page.title()).toContain('<img src=x');
    await page.goto(at(''));
    await page.getByRole('heading', { name: 'Last events' }).waitFor();
    expect(await page.locator('img').count()).toBe(0);
  });

  test('no page has a finding of axe-core, light and dark, wide and narrow', async () => {
    await drop('a', 'b');
    const [row] = await query<{ readonly id: string; readonly dropId: string }>(
      server,
      'SELECT id, group_id AS dropId FROM _undrop.ledger ORDER BY id DESC LIMIT 1',
    );
    const { id = '', dropId = '' } = row ?? {};
    const paths = {
      overview: '',
      tables: '/tables',
      'tables-selectable': '/tables?view=tables',
      table: `/tables/${id}`,
      drop: `/drops/${dropId}`,
    };
    const page = await signIn(OPERATOR);
    const found: string[] = [];
    const check = async (name: string) => {
      const shoot = (how: string) => page.screenshot({ path: join(SHOTS, `${name}-${how}.png`) });
      found.push(...(await findingsOf(page, name, isLong ? shoot : undefined)));
    };
    if (isLong) mkdirSync(SHOTS, { recursive: true });
    for (const [name, path] of Object.entries(paths)) {
      await page.goto(at(path));
      await check(name);
    }
    await page.getByRole('button', { name: 'Sign out' }).click();
    await check('sign-in');
    expect(found).toEqual([]);
  });
});

/** Kept by the long run. */
const SHOTS = join(projectFolder, 'build/screenshots');

async function tabTo(page: Page, name: string): Promise<void> {
  for (let steps = 0; steps < 100; steps++) {
    await page.keyboard.press('Tab');
    const text = await page.evaluate('document.activeElement?.textContent?.trim()');
    if (text === name) return;
  }
  throw new Error(`${name} is not reached by Tab`);
}
