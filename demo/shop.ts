/**
 * The shop is a small schema to drop tables of. The server itself fills it from a table of
 * numbers, so a hundred thousand rows take a second or two; they are the same every time, with
 * names in several scripts.
 */
import type { Connection } from 'mysql2/promise';

/** Rows of each table, the biggest last. */
export const SHOP_ROWS = {
  products: 1_000,
  customers: 10_000,
  orders: 40_000,
  order_items: 100_000,
} as const;

export const SHOP_SCHEMA = 'shop';

const FIRST_NAMES = ['Zoë', 'Łukasz', 'Андрей', '明美', 'Σοφία', 'نور', 'Ángela', '서준', 'Bjørn'];
const LAST_NAMES = ['Müller', 'Nováková', '田中', 'Ó Briain', 'Γεωργίου', 'कुमार', 'Smith'];
const CITIES = ['München', 'Kraków', 'Αθήνα', '東京', 'Reykjavík', 'São Paulo', 'القاهرة', 'Lyon'];
const THINGS = ['čaj 🍵', 'café', 'sūp', '面包 🍞', 'smörgås', 'jalapeño', 'crème brûlée'];

/**
 * Creates the schema `name` with the tables of the shop and fills them; drops an existing schema
 * first. `connection` stays without a default schema.
 */
export async function fillShop(connection: Connection, name: string = SHOP_SCHEMA): Promise<void> {
  const schema = `\`${name.replaceAll('`', '``')}\``;
  for (const statement of shopStatements(schema)) await connection.query(statement);
}

function shopStatements(schema: string): readonly string[] {
  return [
    `DROP DATABASE IF EXISTS ${schema}`,
    `CREATE DATABASE ${schema} CHARACTER SET utf8mb4`,
    `CREATE TABLE ${schema}.products (
       id INT NOT NULL PRIMARY KEY, name VARCHAR(100) NOT NULL,
       price DECIMAL(8,2) NOT NULL, stock INT NOT NULL
     ) ENGINE=InnoDB`,
    `CREATE TABLE ${schema}.customers (
       id INT NOT NULL PRIMARY KEY, name VARCHAR(100) NOT NULL, email VARCHAR(100) NOT NULL,
       city VARCHAR(60) NOT NULL, since DATE NOT NULL, KEY by_email (email)
     ) ENGINE=InnoDB`,
    `CREATE TABLE ${schema}.orders (
       id INT NOT NULL PRIMARY KEY, customer_id INT NOT NULL,
       status ENUM('open', 'paid', 'sent', 'back') NOT NULL, ordered_at DATETIME NOT NULL,
       KEY by_customer (customer_id)
     ) ENGINE=InnoDB`,
    `CREATE TABLE ${schema}.order_items (
       order_id INT NOT NULL, line INT NOT NULL, product_id INT NOT NULL, quantity INT NOT NULL,
       price DECIMAL(8,2) NOT NULL, note VARCHAR(200) NOT NULL,
       PRIMARY KEY (order_id, line), KEY by_product (product_id)
     ) ENGINE=InnoDB`,
    fill(`${schema}.products`, SHOP_ROWS.products, [
      ...['n + 1', `CONCAT(${pick('n', THINGS)}, ' no. ', n + 1)`],
      ...['1 + MOD(n * 37, 9000) / 100', 'MOD(n * 13, 500)'],
    ]),
    fill(`${schema}.customers`, SHOP_ROWS.customers, [
      ...['n + 1', `CONCAT(${pick('n', FIRST_NAMES)}, ' ', ${pick('n DIV 3', LAST_NAMES)})`],
      ...["CONCAT('customer', n + 1, '@example.org')", pick('n DIV 5', CITIES)],
      "DATE_ADD('2015-01-01', INTERVAL MOD(n, 3650) DAY)",
    ]),
    fill(`${schema}.orders`, SHOP_ROWS.orders, [
      ...['n + 1', `1 + MOD(n * 7919, ${SHOP_ROWS.customers})`, '1 + MOD(n, 4)'],
      "DATE_ADD('2020-01-01', INTERVAL n * 11 MINUTE)",
    ]),
    fill(`${schema}.order_items`, SHOP_ROWS.order_items, [
      ...[`1 + MOD(n, ${SHOP_ROWS.orders})`, `1 + n DIV ${SHOP_ROWS.orders}`],
      ...[`1 + MOD(n * 104729, ${SHOP_ROWS.products})`, '1 + MOD(n, 5)'],
      ...['1 + MOD(n * 31, 9000) / 100', `CONCAT('für ', ${pick('n', FIRST_NAMES)})`],
    ]),
    // For current sizes in lists.
    `ANALYZE TABLE ${Object.keys(SHOP_ROWS)
      .map((table) => `${schema}.${table}`)
      .join(', ')}`,
  ];
}

function fill(table: string, rowCount: number, columns: readonly string[]): string {
  return `INSERT INTO ${table} SELECT ${columns.join(', ')} FROM (${numbers}) AS numbers
     WHERE n < ${rowCount} ORDER BY n`;
}

function pick(index: string, words: readonly string[]): string {
  return `ELT(1 + MOD(${index}, ${words.length}), ${words.map((word) => `'${word}'`).join(', ')})`;
}

const digits = [...'0123456789'].map((digit) => `SELECT ${digit} AS d`).join(' UNION ALL ');

/** The numbers from 0 to 99,999, as column n. */
const numbers = `SELECT a.d + 10 * b.d + 100 * c.d + 1000 * e.d + 10000 * f.d AS n
   FROM ${[...'abcef'].map((alias) => `(${digits}) AS ${alias}`).join(', ')}`;
