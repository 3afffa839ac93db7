/** Drizzle's schema, as drizzle-kit reads it: DRIZZLE_WANTED names the tables and views of it. */
const { load } = require('./report.cjs');

const { sql } = load('drizzle-orm');
const { decimal, foreignKey, index, int, json, mysqlEnum, mysqlTable, mysqlView, ...more } =
  load('drizzle-orm/mysql-core');
const { primaryKey, uniqueIndex, varchar } = more;

const authors = mysqlTable(
  'authors',
  { id: int().autoincrement().primaryKey(), name: varchar({ length: 100 }).notNull() },
  (table) => [uniqueIndex('author_name').on(table.name)],
);
const books = mysqlTable(
  'books',
  {
    id: int().autoincrement().primaryKey(),
    author: int()
      .notNull()
      .references(() => authors.id, { onDelete: 'cascade' }),
    title: varchar({ length: 200 }).notNull(),
    state: mysqlEnum(['in', 'out']).default('in'),
    price: decimal({ precision: 8, scale: 2 }),
    notes: json(),
  },
  (table) => [index('books_by_title').on(table.title, table.state)],
);
const tags = mysqlTable('tags', {
  tag: varchar({ length: 20 }).primaryKey(),
  // To add it, drizzle-kit empties the table.
  ...(process.env.DRIZZLE_ADDS === undefined ? {} : { shelf: int().notNull() }),
});
const bookTags = mysqlTable(
  'book_tags',
  { book: int().notNull(), tag: varchar({ length: 20 }).notNull() },
  (table) => [
    primaryKey({ columns: [table.book, table.tag] }),
    foreignKey({ columns: [table.book], foreignColumns: [books.id], name: 'tagged_book' }),
    foreignKey({ columns: [table.tag], foreignColumns: [tags.tag], name: 'tag_of_book' }),
  ],
);
const priced = mysqlView('priced').as((query) =>
  query.select({ title: books.title }).from(books).where(sql`${books.price} > 1`),
);

const all = { authors, books, tags, bookTags, priced };
const wanted = process.env.DRIZZLE_WANTED?.split(',') ?? Object.keys(all);

module.exports = Object.fromEntries(Object.entries(all).filter(([name]) => wanted.includes(name)));
