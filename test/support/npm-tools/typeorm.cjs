/** TypeORM: migrations, synchronize(), dropDatabase(), and what its query runner drops itself. */
const { load, login, look, refused, run, say, schema, step } = require('./report.cjs');

const { DataSource, EntitySchema, Table, TableForeignKey, TableIndex } = load('typeorm');

const { host, port, user, password, database } = login;

const Author = new EntitySchema({
  name: 'Author',
  tableName: 'authors',
  columns: {
    id: { type: 'int', primary: true, generated: 'increment' },
    name: { type: 'varchar', length: 100, unique: true },
  },
  relations: { books: { type: 'one-to-many', target: 'Book', inverseSide: 'author' } },
});
const Book = new EntitySchema({
  name: 'Book',
  tableName: 'books',
  columns: {
    id: { type: 'int', primary: true, generated: 'increment' },
    title: { type: 'varchar', length: 200 },
    state: { type: 'enum', enum: ['in', 'out'], default: 'in' },
    price: { type: 'decimal', precision: 8, scale: 2, nullable: true },
    notes: { type: 'text', nullable: true },
  },
  indices: [{ name: 'books_by_title', columns: ['title', 'state'] }],
  relations: {
    author: {
      type: 'many-to-one',
      target: 'Author',
      inverseSide: 'books',
      onDelete: 'CASCADE',
      nullable: false,
    },
    tags: { type: 'many-to-many', target: 'Tag', joinTable: { name: 'book_tags' } },
  },
});
const Tag = new EntitySchema({
  name: 'Tag',
  tableName: 'tags',
  columns: { tag: { type: 'varchar', length: 20, primary: true } },
});
const Priced = new EntitySchema({
  name: 'Priced',
  tableName: 'priced',
  type: 'view',
  expression: 'SELECT `title` FROM `books` WHERE `price` > 1',
  columns: { title: { type: 'varchar' } },
});

class Loans1700000000001 {
  name = 'Loans1700000000001';

  async up(runner) {
    await runner.createTable(
      new Table({
        name: 'loans',
        columns: [
          {
            name: 'id',
            type: 'int',
            isPrimary: true,
            isGenerated: true,
            generationStrategy: 'increment',
          },
          { name: 'book', type: 'int' },
          { name: 'until', type: 'date', isNullable: true },
        ],
      }),
    );
    await runner.createForeignKey(
      'loans',
      new TableForeignKey({
        columnNames: ['book'],
        referencedTableName: 'books',
        referencedColumnNames: ['id'],
        onDelete: 'CASCADE',
      }),
    );
    await runner.createIndex('loans', new TableIndex({ columnNames: ['until'] }));
    await runner.query("INSERT INTO loans (book, until) SELECT id, '2030-01-01' FROM books");
  }

  /** Finds and drops foreign keys and indexes itself. */
  async down(runner) {
    await runner.dropTable('loans');
  }
}
class Trigger1700000000002 {
  name = 'Trigger1700000000002';

  async up(runner) {
    await runner.query(
      'CREATE TRIGGER books_in BEFORE INSERT ON books FOR EACH ROW SET NEW.title = TRIM(NEW.title)',
    );
    await runner.query('CREATE TABLE plain AS SELECT 1 AS a UNION SELECT 2');
  }

  async down(runner) {
    await runner.query('DROP TRIGGER books_in');
    await runner.query('DROP TABLE plain');
  }
}

let isSilent = false;
const write = (text) => isSilent || say(`> ${text}`);
const source = new DataSource({
  type: process.argv[7],
  host,
  port,
  username: user,
  password,
  database,
  entities: [Author, Book, Tag, Priced],
  migrations: [Loans1700000000001, Trigger1700000000002],
  logging: true,
  logger: {
    logQuery: write,
    logQueryError: (error, text) => write(`${text}: ${error.message ?? error}`),
    logQuerySlow: () => undefined,
    logSchemaBuild: write,
    logMigration: write,
    log: (_level, text) => write(text),
  },
});
let runner;
const ask = (text) => runner.query(text);
const nothing = () => undefined;

function describe({ name, columns, foreignKeys, indices }) {
  const parts = [
    columns.map((column) => `${column.name} ${column.type}`),
    foreignKeys.map((key) => key.name),
    indices.map((index) => index.name),
  ];
  return `${name}: ${parts.map((part) => part.sort().join(', ')).join('; ')}`;
}

async function fill() {
  const [ann, bob] = await source.getRepository('Author').save([{ name: 'Ann' }, { name: 'Bob' }]);
  const tag = await source.getRepository('Tag').save({ tag: 'new' });
  const books = source.getRepository('Book');
  await books.save({ title: 'One', author: ann, price: '1.50', notes: 'none', tags: [tag] });
  await books.save({ title: ' Two ', author: bob, tags: [] });
}

run(
  async () => {
    await step('connect', () => source.initialize().then(nothing));
    runner = source.createQueryRunner();
    await step('synchronize', () => source.synchronize());
    await step('rows', fill);
    await step('up', () => source.runMigrations().then((all) => all.map(({ name }) => name)));
    await look('up', ask);
    await step('down', () => source.undoLastMigration());
    await step('down, one more', () => source.undoLastMigration());
    await look('down', ask);
    await step('up again', () => source.runMigrations().then(nothing));
    await refused('drop a parent', () => runner.query('DROP TABLE `authors`'));
    await step('synchronize again', () => source.synchronize());
    isSilent = true;
    await step('the tables', async () => (await runner.getTables()).map(describe).sort());
    isSilent = false;
    await step('the schemas', async () => (await runner.getDatabases()).sort());
    await step('reset, in any order', () => source.dropDatabase());
    await look('reset', ask);
    await step('up after the reset', () => source.synchronize());
    await step('rows again', fill);
    await step('migrations', () => source.runMigrations().then(nothing));
    await look('up after the reset', ask);
    await step('dropped and made anew, in any order', () => source.synchronize(true));
    await look('made anew', ask);
    await step('rows once more', fill);
    await step('what is there', () =>
      source.getRepository('Book').find({ relations: { author: true, tags: true } }),
    );
    await step('clear one', () => source.getRepository('Book').delete({ id: 2 }));
    await step('drop one, in any order', () => runner.dropTable('book_tags'));
    await step('drop a view', () => runner.dropView('priced'));
    await step('another schema', async () => {
      await runner.createDatabase(`${schema}_more`);
      await runner.query(`CREATE TABLE ${schema}_more.t AS SELECT 1 AS a`);
      await runner.dropDatabase(`${schema}_more`);
    });
    await look('the end', ask);
    await step('the whole schema', () => runner.dropDatabase(schema));
    await step('the schemas that are left', () => runner.getDatabases());
    await runner.release();
  },
  () => source.isInitialized && source.destroy(),
);
