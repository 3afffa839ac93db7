/**
 * Two schemas with the same two tables of three rows, a proxy in front of their server, and the
 * same thing done directly and through it: what is heard and which tables are left is equal, and no
 * base table is lost.
 */
import { type ProxyTarget, proxyInFront } from './proxy.js';
import {
  connect,
  type FreshSchema,
  freshSchema,
  query,
  type Session,
  type Target,
  type TestServer,
} from './servers.js';
import { Survival } from './survival.js';

export class TwoSchemas {
  readonly #server: TestServer;
  readonly schema: FreshSchema;
  readonly other: FreshSchema;
  readonly proxy: ProxyTarget;
  readonly root: Session;

  private constructor(
    server: TestServer,
    parts: Pick<TwoSchemas, 'schema' | 'other' | 'proxy' | 'root'>,
  ) {
    this.#server = server;
    this.schema = parts.schema;
    this.other = parts.other;
    this.proxy = parts.proxy;
    this.root = parts.root;
  }

  static async open(server: TestServer): Promise<TwoSchemas> {
    return new TwoSchemas(server, {
      schema: await freshSchema(server),
      other: await freshSchema(server),
      proxy: await proxyInFront(server),
      root: await connect(server),
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.root.end();
    await this.proxy.stop();
    await this.schema.drop();
    await this.other.drop();
  }

  /** Both as they were at first. */
  async fill(): Promise<void> {
    const texts = [this.schema.name, this.other.name].flatMap((name) => [
      `DROP DATABASE IF EXISTS ${name}`,
      `CREATE DATABASE ${name}`,
      ...['a', 'b'].flatMap((table) => [
        `CREATE TABLE ${name}.${table} (id INT)`,
        `INSERT INTO ${name}.${table} VALUES (1), (2), (3)`,
      ]),
    ]);
    await query(this.#server, ...texts);
  }

  /** `talk` hands back what it heard. */
  async compare(talk: (target: Target) => Promise<readonly string[]>): Promise<void> {
    const talkOn = async (target: Target) => ({
      heard: await talk(target),
      tables: await this.#liveTables(),
    });
    await this.fill();
    const direct = await talkOn(this.#server);
    await this.fill();
    const survival = new Survival(this.root, [this.schema.name, this.other.name]);
    await survival.remember();
    const through = await talkOn(this.proxy);
    expect(through).toEqual(direct);
    expect(await survival.findLost()).toEqual([]);
  }

  #liveTables(): Promise<unknown> {
    return query(
      this.#server,
      `SELECT table_schema AS s, table_name AS t FROM information_schema.tables
       WHERE table_schema IN ('${this.schema.name}', '${this.other.name}') ORDER BY 1, 2`,
    );
  }
}
