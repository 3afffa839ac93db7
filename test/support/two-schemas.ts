/**
 * Two schemas with the same two tables of three rows, a proxy in front of their server, and the
 * same thing done directly and through it: what is heard and which tables are left is equal, and no
 * base table is lost.
 */
import { proxyInFront } from './proxy.js';
import { connect, freshSchema, query, type Target, type TestServer } from './servers.js';
import { Survival } from './survival.js';

export async function openTwoSchemas(server: TestServer) {
  const [schema, other] = [await freshSchema(server), await freshSchema(server)];
  const [proxy, root] = [await proxyInFront(server), await connect(server)];
  const names = [schema.name, other.name];

  /** Both as they were at first. */
  async function fill(): Promise<void> {
    const texts = names.flatMap((name) => [
      `DROP DATABASE IF EXISTS ${name}`,
      `CREATE DATABASE ${name}`,
      ...['a', 'b'].flatMap((table) => [
        `CREATE TABLE ${name}.${table} (id INT)`,
        `INSERT INTO ${name}.${table} VALUES (1), (2), (3)`,
      ]),
    ]);
    await query(server, ...texts);
  }

  /** `talk` hands back what it heard. */
  async function compare(talk: (target: Target) => Promise<readonly string[]>): Promise<void> {
    const talkOn = async (target: Target) => {
      const heard = await talk(target);
      return { heard, tables: [await root.tables(schema.name), await root.tables(other.name)] };
    };
    await fill();
    const direct = await talkOn(server);
    await fill();
    const survival = new Survival(root, names);
    await survival.remember();
    expect(await talkOn(proxy)).toEqual(direct);
    expect(await survival.findLost()).toEqual([]);
  }

  return {
    ...{ schema, other, proxy, root, fill, compare },
    [Symbol.asyncDispose]: async () => {
      await root.end();
      await proxy.stop();
      await schema.drop();
      await other.drop();
    },
  };
}
