/**
 * The same tool run directly and through a proxy, each time on a schema of its own: what it says
 * and what it leaves is the same, nothing of undrop is in it, and what it dropped is held.
 */
import { randomBytes } from 'node:crypto';
import type { CommandResult } from '../../throwaway-servers/run-command.js';
import { heldDrops, schemaState } from './schema-state.js';
import { query, type Target, type TestServer } from './servers.js';

export interface BothWays {
  readonly server: TestServer;
  /** The proxy in front of it. */
  readonly proxy: Target;
  readonly account: { readonly user: string; readonly password: string };
  /** What the names of schemas begin with; so the account may be given rights on these alone. */
  readonly prefix: string;
  /** Statements that fill a schema before the tool sees it. */
  readonly fill?: readonly string[];
}

/**
 * `run` is told where and in which schema. The two runs are compared, by their exit codes, what was
 * said but for what shows which of the two it was, and what is left by `schemaState`; the one
 * through the proxy is handed back, with what is held of it. `mask` takes out of the output what
 * differs by itself.
 */
export async function bothWays(
  { server, proxy, account, prefix, fill = [] }: BothWays,
  run: (target: Target, schema: string) => Promise<CommandResult>,
  mask: (said: string) => string = (said) => said,
) {
  const ways = [server, proxy].map(async ({ host, port }) => {
    const schema = `${prefix}_${randomBytes(4).toString('hex')}`;
    await query(
      server,
      `CREATE DATABASE ${schema} CHARACTER SET utf8mb4`,
      `USE ${schema}`,
      ...fill,
    );
    const { code, stdout, stderr } = await run({ host, port, ...account }, schema);
    const said = mask(`${stdout}\n${stderr}`.replaceAll(schema, '<schema>'));
    const left = (await schemaState(server, schema)).map((line) => line.replaceAll(TIME, '<time>'));
    return { schema, outcome: { code, said: said.replaceAll(String(port), '<port>'), left } };
  });
  const [direct, through] = await Promise.all(ways);
  if (direct === undefined || through === undefined) throw new Error('two ways were expected');
  expect(through.outcome).toEqual(direct.outcome);
  expect([through.outcome.said, ...through.outcome.left].join('\n')).not.toMatch(OURS);
  const held = await heldDrops(server, through.schema);
  await query(server, ...[direct, through].map(({ schema }) => `DROP DATABASE ${schema}`));
  return { ...through.outcome, held };
}

const TIME = /\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?/g;
/** Names of undrop's, and what it calls itself. */
const OURS = /undrop|_vt_/i;
