/**
 * Tables of one column of numbers in a schema, and what is held of them by those numbers: which
 * rows are there, and which are held of which drop.
 */
import { ledgerRows } from './ledger-rows.js';
import type { Session } from './servers.js';
import { intentsSettled } from './settled.js';

export class NumberTables {
  readonly #root: Session;
  readonly #schema: string;

  /** `root` has `schema` as its default. */
  constructor(root: Session, schema: string) {
    this.#root = root;
    this.#schema = schema;
  }

  async make(table: string, ...values: readonly number[]): Promise<void> {
    await this.#root.query(`CREATE TABLE ${table} (v INT) ENGINE=InnoDB`);
    await this.fill(table, ...values);
  }

  async fill(table: string, ...values: readonly number[]): Promise<void> {
    if (values.length === 0) return;
    const rows = values.map((v) => `(${v})`).join(', ');
    await this.#root.query(`INSERT INTO ${table} (v) VALUES ${rows}`);
  }

  valuesOf(table: string): Promise<number[]> {
    return this.#root.column<number>(`SELECT v FROM ${table} ORDER BY v`);
  }

  /** Where the held tables of that name are, the oldest first, when the ledger has them all. */
  async placesOf(table: string): Promise<readonly string[]> {
    await intentsSettled(this.#root, [this.#schema]);
    const rows = await ledgerRows(this.#root, { schema: this.#schema, table, state: 'HOLD' });
    return rows.map((row) => `${row['hold_schema']}.${row['hold_name']}`);
  }

  /** The numbers in each of them. */
  async held(table: string): Promise<readonly (readonly number[])[]> {
    const found: number[][] = [];
    for (const place of await this.placesOf(table)) found.push(await this.valuesOf(place));
    return found;
  }
}
