/**
 * How tools from npm make the tables of a small shop, and how each resets them. Arguments as
 * report.cjs has them, then the dialect, the tool, and `make` or `reset`.
 */
const { execFileSync } = require('node:child_process');
const { mkdirSync, mkdtempSync, rmSync, writeFileSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { join } = require('node:path');
const { load, login, run, schema } = require('./report.cjs');

const [dialect, tool, phase] = process.argv.slice(7);
const isReset = phase === 'reset';
const { host, port, user, password } = login;
const credentials = [user, password].map(encodeURIComponent).join(':');
const url = `mysql://${credentials}@${host}:${port}/${schema}`;

const TOOLS = {
  async knex() {
    const up = async (db) => {
      await db.schema.createTable('authors', (table) => {
        table.increments('id');
        table.string('name', 100).notNullable().unique();
      });
      await db.schema.createTable('books', (table) => {
        table.increments('id');
        table.integer('author').unsigned().notNullable();
        table.foreign('author').references('authors.id').onDelete('CASCADE');
        table.string('title').notNullable();
      });
      await db.schema.createView('titles', (view) => view.as(db('books').select('title')));
    };
    const down = async (db) => {
      await db.schema.dropView('titles');
      await db.schema.dropTable('books').dropTable('authors');
    };
    const migrationSource = {
      getMigrations: async () => ['1_shop'],
      getMigrationName: (name) => name,
      getMigration: async () => ({ up, down }),
    };
    const knex = load('knex')({
      client: 'mysql2',
      connection: login,
      migrations: { migrationSource },
    });
    if (isReset) await knex.migrate.rollback(null, true);
    await knex.migrate.latest();
    await knex.destroy();
  },

  async sequelize() {
    const { DataTypes, Sequelize } = load('sequelize');
    const options = { host, port, dialect, logging: false, define: { timestamps: false } };
    const sequelize = new Sequelize(schema, user, password, options);
    const named = (name, columns) => sequelize.define(name, columns, { tableName: name });
    const authors = named('authors', { name: { type: DataTypes.STRING(100), unique: 'by_name' } });
    const books = named('books', { title: DataTypes.STRING });
    authors.hasMany(books, { foreignKey: { name: 'author', allowNull: false } });
    await sequelize.sync({ force: true });
    await sequelize.close();
  },

  async typeorm() {
    const { DataSource, EntitySchema } = load('typeorm');
    const id = { type: 'int', primary: true, generated: 'increment' };
    const authors = new EntitySchema({
      name: 'authors',
      columns: { id, name: { type: 'varchar', length: 100, unique: true } },
    });
    const books = new EntitySchema({
      name: 'books',
      columns: { id, title: { type: 'varchar', length: 200 } },
      relations: {
        author: { type: 'many-to-one', target: 'authors', joinColumn: { name: 'author' } },
      },
    });
    const source = new DataSource({
      ...{ type: dialect, host, port, username: user, password, database: schema },
      entities: [authors, books],
    });
    await source.initialize();
    // The same as its command `schema:drop`.
    if (isReset) await source.dropDatabase();
    await source.synchronize();
    await source.destroy();
  },

  async drizzle() {
    const program = join(load.resolve('drizzle-kit/api'), '../bin.cjs');
    const options = ['--dialect=mysql', '--force', `--url=${url}`];
    const said = execFileSync(
      process.execPath,
      [program, 'push', `--schema=${join(__dirname, 'drizzle-schema.cjs')}`, ...options],
      {
        env: {
          ...{ ...process.env, DRIZZLE_WANTED: 'authors,books,tags' },
          ...(isReset && { DRIZZLE_ADDS: 'yes' }),
        },
        encoding: 'utf8',
      },
    );
    if (!said.includes('Changes applied')) throw new Error(said);
  },

  async dbmate() {
    const folder = mkdtempSync(join(tmpdir(), 'undrop-dbmate-'));
    mkdirSync(join(folder, 'db/migrations'), { recursive: true });
    writeFileSync(
      join(folder, 'db/migrations/20260101000000_shop.sql'),
      `-- migrate:up
CREATE TABLE authors (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(100) UNIQUE);
CREATE TABLE books (id INT AUTO_INCREMENT PRIMARY KEY, author INT NOT NULL, title VARCHAR(100),
  FOREIGN KEY (author) REFERENCES authors (id));
-- migrate:down
DROP TABLE books;
DROP TABLE authors;
`,
    );
    const program = join(load.resolve('@dbmate/linux-x64/package.json'), '../bin/dbmate');
    const dbmate = (...words) =>
      execFileSync(program, [`--url=${url}`, '--no-dump-schema', ...words], { cwd: folder });
    if (isReset) dbmate('drop');
    dbmate('up');
    rmSync(folder, { recursive: true });
  },
};

run(TOOLS[tool], () => undefined);
