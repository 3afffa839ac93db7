/** Sequelize, by the driver that its dialect has: models and sync(), and its query interface. */
const { load, login, look, refused, run, say, schema, step } = require('./report.cjs');

const { DataTypes, Sequelize } = load('sequelize');

const { host, port, user, password } = login;
const sequelize = new Sequelize(schema, user, password, {
  host,
  port,
  dialect: process.argv[7],
  logging: (text) => say(`> ${text}`),
  pool: { max: 3 },
  // MariaDB's driver gives up after a second.
  dialectOptions: { connectTimeout: 60_000 },
});
const queries = sequelize.getQueryInterface();
const ask = (text) => sequelize.query(text, { type: 'SELECT', logging: false });

const Author = sequelize.define('Author', {
  name: { type: DataTypes.STRING(100), allowNull: false, unique: 'author_name' },
});
const Book = sequelize.define(
  'Book',
  {
    title: { type: DataTypes.STRING, allowNull: false },
    state: DataTypes.ENUM('in', 'out'),
    price: DataTypes.DECIMAL(8, 2),
    notes: DataTypes.JSON,
  },
  { indexes: [{ name: 'books_by_title', fields: ['title', 'state'] }] },
);
const Tag = sequelize.define('Tag', { tag: { type: DataTypes.STRING(20), primaryKey: true } });
Author.hasMany(Book, { foreignKey: { allowNull: false }, onDelete: 'CASCADE' });
Book.belongsTo(Author);
Book.belongsToMany(Tag, { through: 'BookTags' });
Tag.belongsToMany(Book, { through: 'BookTags' });

async function fill() {
  const [ann, bob] = await Author.bulkCreate([{ name: 'Ann' }, { name: 'Bob' }]);
  const book = await ann.createBook({ title: 'One', state: 'in', price: 1.5, notes: { a: 1 } });
  await bob.createBook({ title: ' Two ' });
  const tag = await Tag.create({ tag: 'new' });
  await book.addTag(tag);
}

/** As sequelize-cli calls them. */
const MIGRATION = {
  async up(query) {
    await query.createTable('loans', {
      id: { type: DataTypes.INTEGER, primaryKey: true, autoIncrement: true },
      book: {
        type: DataTypes.INTEGER,
        references: { model: 'Books', key: 'id' },
        onDelete: 'CASCADE',
      },
      until: DataTypes.DATEONLY,
    });
    await query.addIndex('loans', ['until'], { name: 'loans_until' });
    await query.addColumn('Books', 'author_again', { type: DataTypes.INTEGER });
    await query.addConstraint('Books', {
      name: 'books_author_again',
      type: 'foreign key',
      fields: ['author_again'],
      references: { table: 'Authors', field: 'id' },
      onDelete: 'SET NULL',
    });
    await query.bulkInsert('loans', [{ book: 1, until: '2030-01-01' }]);
  },
  async down(query) {
    await query.removeConstraint('Books', 'books_author_again');
    await query.removeColumn('Books', 'author_again');
    await query.removeIndex('loans', 'loans_until');
    await query.dropTable('loans');
  },
};

run(
  async () => {
    await step('sync', () => sequelize.sync().then(() => undefined));
    await step('rows', fill);
    await step('a trigger and a view', async () => {
      await sequelize.query(
        'CREATE TRIGGER books_in BEFORE INSERT ON Books FOR EACH ROW SET NEW.title = TRIM(NEW.title)',
      );
      await sequelize.query('CREATE VIEW priced AS SELECT title FROM Books WHERE price > 1');
    });
    await look('sync', ask);
    await step('up', () => MIGRATION.up(queries));
    await look('up', ask);
    await refused('drop a parent', () => Author.drop());
    await step('down', () => MIGRATION.down(queries));
    await look('down', ask);
    await step('up again', () => MIGRATION.up(queries));
    await step('down again', () => MIGRATION.down(queries));
    await step('alter', () => sequelize.sync({ alter: true }).then(() => undefined));
    await look('alter', ask);
    await step('reset', () => sequelize.sync({ force: true }).then(() => undefined));
    await look('reset', ask);
    await step('rows again', fill);
    await step('read', () => Book.findAll({ include: [Author, Tag], order: ['id'] }));
    await refused('truncate a parent', () => Tag.truncate());
    await step('truncate', () => sequelize.models.BookTags.truncate());
    await step('one model anew', () =>
      sequelize.models.BookTags.sync({ force: true }).then(() => undefined),
    );
    await step('drop', () => sequelize.drop());
    await look('drop', ask);
    await step('up after the drop', () => sequelize.sync().then(() => undefined));
    await step('rows once more', fill);
    await step('all tables', async () => (await queries.showAllTables()).sort());
    await step('keys', () => queries.getForeignKeyReferencesForTable('Books'));
    await step('indexes', () => queries.showIndex('Books'));
    await step('drop all tables, in any order', () => queries.dropAllTables());
    await look('drop all tables', ask);
    await step('another schema', () => queries.createDatabase(`${schema}_more`));
    await step('a table in it', () =>
      sequelize.query(`CREATE TABLE ${schema}_more.t AS SELECT 1 AS a`),
    );
    await step('drop it', () => queries.dropDatabase(`${schema}_more`));
    await look('the end', ask);
  },
  () => sequelize.close(),
);
