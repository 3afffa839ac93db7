/** Knex: migrations with its own table of them, and the schema builder by itself. */
const { load, login, look, refused, run, say, schema, step } = require('./report.cjs');

const MIGRATIONS = {
  '1_books': {
    async up(db) {
      await db.schema.createTable('authors', (table) => {
        table.increments('id');
        table.string('name', 100).notNullable().unique();
        table.timestamps(true, true);
      });
      await db.schema.createTable('books', (table) => {
        table.increments('id');
        table.integer('author_id').unsigned().notNullable();
        table.foreign('author_id').references('authors.id').onDelete('CASCADE');
        table.string('title').notNullable();
        table.enum('state', ['in', 'out']).defaultTo('in');
        table.decimal('price', 8, 2);
        table.json('notes');
        table.index(['author_id', 'title'], 'books_by_author');
        table.check('?? > 0', ['price'], 'price_is_positive');
      });
      await db('authors').insert([{ name: 'Ann' }, { name: 'Bob' }]);
      await db('books').insert([
        { author_id: 1, title: 'One', price: 1.5, notes: '{"a": 1}' },
        { author_id: 1, title: 'Two', price: 2 },
        { author_id: 2, title: 'Three', price: 3 },
      ]);
    },
    async down(db) {
      await db.schema.dropTable('books');
      await db.schema.dropTable('authors');
    },
  },
  '2_tags': {
    async up(db) {
      await db.schema.createTable('tags', (table) => {
        table.string('tag', 20).primary();
      });
      await db.schema.createTable('book_tags', (table) => {
        table.integer('book_id').unsigned().references('books.id').onDelete('CASCADE');
        table.string('tag', 20).references('tags.tag');
        table.primary(['book_id', 'tag']);
      });
      await db('tags').insert([{ tag: 'new' }, { tag: 'old' }]);
      await db('book_tags').insert({ book_id: 1, tag: 'new' });
    },
    async down(db) {
      await db.schema.dropTableIfExists('book_tags').dropTableIfExists('tags');
    },
  },
  '3_trigger_and_view': {
    async up(db) {
      await db.schema.createView('priced', (view) => {
        view.columns(['title', 'name']);
        const books = db('books').join('authors', 'authors.id', 'books.author_id');
        view.as(books.select('title', 'name').where('price', '>', 1));
      });
      await db.raw(
        'CREATE TRIGGER books_in BEFORE INSERT ON books FOR EACH ROW SET NEW.title = TRIM(NEW.title)',
      );
    },
    async down(db) {
      await db.raw('DROP TRIGGER books_in');
      await db.schema.dropView('priced');
    },
  },
  '4_changes': {
    async up(db) {
      await db.schema.alterTable('books', (table) => {
        table.dropForeign('author_id');
        table.dropIndex(['author_id', 'title'], 'books_by_author');
        table.string('isbn', 13).unique();
        table.foreign('author_id', 'written_by').references('authors.id');
      });
      await db.schema.renameTable('tags', 'labels');
    },
    async down(db) {
      await db.schema.renameTable('labels', 'tags');
      await db.schema.alterTable('books', (table) => {
        table.dropForeign('author_id', 'written_by');
        table.dropColumn('isbn');
        table.index(['author_id', 'title'], 'books_by_author');
        table.foreign('author_id').references('authors.id').onDelete('CASCADE');
      });
    },
  },
};

const knex = load('knex')({
  client: 'mysql2',
  connection: login,
  pool: { min: 0, max: 3 },
  migrations: {
    migrationSource: {
      getMigrations: async () => Object.keys(MIGRATIONS),
      getMigrationName: (name) => name,
      getMigration: async (name) => MIGRATIONS[name],
    },
  },
});
knex.on('query', ({ sql }) => say(`> ${sql}`));
const ask = async (text) => (await knex.raw(text))[0];

run(
  async () => {
    await step('up, one', () => knex.migrate.up());
    await step('up, all', () => knex.migrate.latest());
    await look('up', ask);
    await step('the trigger fires', () => knex('books').insert({ author_id: 2, title: ' Four ' }));
    await step('it did', () => knex('books').select('id', 'title'));
    await step('down, one', () => knex.migrate.down());
    await step('down, two', () => knex.migrate.down());
    await step('down, three', () => knex.migrate.down());
    await look('down', ask);
    await step('up again', () => knex.migrate.latest());
    await step('status', () => knex.migrate.status());
    await refused('a parent', () => knex.schema.dropTable('authors'));
    await refused('missing', () => knex.schema.dropTable('missing'));
    await step('missing, if exists', () => knex.schema.dropTableIfExists('missing'));
    await step('reset', () => knex.migrate.rollback(null, true));
    await look('reset', ask);
    await step('is there', () =>
      Promise.all(
        ['books', 'authors', 'knex_migrations'].map((name) => knex.schema.hasTable(name)),
      ),
    );
    await step('up after the reset', () => knex.migrate.latest());
    await look('up after the reset', ask);
    await step('rows', () => knex('books').select('id', 'author_id', 'title', 'price', 'notes'));
    await step('columns', async () => Object.entries(await knex('books').columnInfo()).sort());
    await step('the table of migrations', () =>
      knex.schema.withSchema(schema).dropTable('knex_migrations_lock'),
    );
    await step('truncate', () => knex('book_tags').truncate());
    await step('as a template', () => knex.schema.createTableLike('copies', 'books'));
    await step('within a transaction', () =>
      knex.transaction(async (trx) => {
        await trx('tags_of_nobody')
          .insert({ tag: 'x' })
          .catch((error) => say(error.code));
        await trx('labels').insert({ tag: 'kept by the drop' });
        await trx.schema.dropTable('copies');
      }),
    );
    await look('the end', ask);
  },
  () => knex.destroy(),
);
