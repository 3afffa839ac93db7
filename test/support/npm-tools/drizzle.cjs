/** Drizzle: `drizzle-kit push`, and migrations of drizzle-kit's by drizzle-orm's migrator. */
const { execFile } = require('node:child_process');
const { mkdtempSync, mkdirSync, rmSync, writeFileSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { join } = require('node:path');
const { promisify, stripVTControlCharacters } = require('node:util');
const everything = require('./drizzle-schema.cjs');
const { load, login, look, refused, run, say, step } = require('./report.cjs');

const { createPool } = load('mysql2/promise');
const { sql } = load('drizzle-orm');
const { drizzle } = load('drizzle-orm/mysql2');
const { migrate } = load('drizzle-orm/mysql2/migrator');
const { generateMySQLDrizzleJson, generateMySQLMigration } = load('drizzle-kit/api');

const { authors, bookTags, books, priced, tags } = everything;
const pool = createPool({ ...login, connectionLimit: 3 });
const db = drizzle(pool, { logger: { logQuery: (text) => say(`> ${text}`) } });
const ask = async (text) => (await pool.query(text))[0];
const folder = mkdtempSync(join(tmpdir(), 'undrop-drizzle-'));

/** Makes the schema what is wanted, and drops what isn't. It ends with 0 after an error, too. */
async function push(...wanted) {
  const { user, password, host, port, database } = login;
  const [name, word] = [user, password].map(encodeURIComponent);
  const url = `mysql://${name}:${word}@${host}:${port}/${database}`;
  const options = ['--dialect=mysql', '--force', '--verbose', `--url=${url}`];
  const program = join(load.resolve('drizzle-kit/api'), '../bin.cjs');
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [program, 'push', `--schema=${join(__dirname, 'drizzle-schema.cjs')}`, ...options],
    { cwd: folder, env: { ...process.env, DRIZZLE_WANTED: wanted.join(',') } },
  );
  // What turns round while it waits isn't the same twice.
  const lines = stripVTControlCharacters(stdout).split(/[\r\n]+/);
  const said = lines.filter((line) => line.trim() !== '' && !/Pulling schema|^ +at /.test(line));
  if (!/Changes applied|No changes/.test(stdout)) throw new Error(said.join('\n'));
  return said;
}

const steps = [];
let snapshot;

/** As `drizzle-kit generate` does. */
async function generate(wanted, more = []) {
  const next = await generateMySQLDrizzleJson(wanted, snapshot?.id);
  const before = snapshot ?? (await generateMySQLDrizzleJson({}));
  const texts = [...(await generateMySQLMigration(before, next)), ...more];
  snapshot = next;
  const tag = `000${steps.length}_step`;
  writeFileSync(join(folder, `${tag}.sql`), texts.join('\n--> statement-breakpoint\n'));
  steps.push({
    idx: steps.length,
    version: '5',
    when: 1e12 + steps.length,
    tag,
    breakpoints: true,
  });
  mkdirSync(join(folder, 'meta'), { recursive: true });
  const journal = { version: '7', dialect: 'mysql', entries: steps };
  writeFileSync(join(folder, 'meta/_journal.json'), JSON.stringify(journal));
  return texts;
}

async function fill() {
  await db.insert(authors).values([{ name: 'Ann' }, { name: 'Bob' }]);
  await db.insert(books).values([
    { author: 1, title: 'One', price: '1.50', notes: { a: 1 } },
    { author: 2, title: ' Two ' },
  ]);
  await db.insert(tags).values({ tag: 'new' });
}

async function pushes() {
  await step('push', () => push(...Object.keys(everything)));
  await step('rows', fill);
  await look('push', ask);
  // It drops by the alphabet.
  await refused('push nothing', () => push());
  await step('push less', () => push('authors', 'books'));
  await look('push less', ask);
  await step('push still less', () => push('authors'));
  await step('reset', () => push());
  await look('reset', ask);
  await step('push after the reset', () => push(...Object.keys(everything)));
  await look('push after the reset', ask);
  await step('drop all at once', () =>
    db.execute(sql`DROP TABLE ${bookTags}, ${books}, ${authors}, ${tags}`),
  );
  await step('drop the view', () => db.execute(sql`DROP VIEW ${priced}`));
}

/** It does not read keys there. */
async function pushesOnMariadb() {
  await step('push', () => push('tags'));
  await step('rows', () => db.insert(tags).values({ tag: 'new' }));
  await look('push', ask);
  await step('reset', () => push());
  await look('reset', ask);
}

run(
  async () => {
    await (process.argv[7] === 'mariadb' ? pushesOnMariadb() : pushes());

    await step('generate', () => generate({ authors, books }));
    await step('up', () => migrate(db, { migrationsFolder: folder }));
    await step('generate more', () =>
      generate(everything, [
        'CREATE TRIGGER books_in BEFORE INSERT ON books FOR EACH ROW SET NEW.title = TRIM(NEW.title);',
      ]),
    );
    await step('up, one more', () => migrate(db, { migrationsFolder: folder }));
    await step('rows again', fill);
    await look('up', ask);
    await refused('drop a parent', () => db.execute(sql`DROP TABLE ${authors}`));
    // It drops a parent before its child where both go at once.
    await step('generate what drops', () => generate({ authors, books, tags, priced }));
    await step('generate what drops more', () => generate({ authors, books }));
    await step('down', () => migrate(db, { migrationsFolder: folder }));
    await look('down', ask);
    await step('generate what drops still more', () => generate({ authors }));
    await step('generate what drops all', () => generate({}));
    await step('reset', () => migrate(db, { migrationsFolder: folder }));
    await look('reset by migrations', ask);
    await step('generate again', () => generate(everything));
    await step('up again', () => migrate(db, { migrationsFolder: folder }));
    await step('what is there', () => db.select().from(authors));
    await look('the end', ask);
  },
  async () => {
    rmSync(folder, { recursive: true });
    await pool.end();
  },
);
