/** What of a schema is held, as `undrop list` says, and how many rows each table has. */
import { runUndrop } from './proxy.js';
import { query, type TestServer } from './servers.js';

/** Rows by the name under which a table was dropped; counted, not estimated. */
export async function heldRows(
  server: TestServer,
  schema: string,
): Promise<Readonly<Record<string, number>>> {
  const { code, stdout, stderr } = await runUndrop(server, ['list', '--json']);
  if (code !== 0) throw new Error(`undrop list ended with ${code}: ${stderr}`);
  const listed = JSON.parse(stdout) as Record<string, string | null>[];
  const held = listed.filter((one) => one['schema'] === schema);
  const counts = await Promise.all(
    held.map(async ({ table, holdSchema, holdName }) => {
      const [row] = await query<{ n: number }>(
        server,
        `SELECT COUNT(*) AS n FROM \`${holdSchema}\`.\`${holdName}\``,
      );
      return [table, row?.n] as const;
    }),
  );
  return Object.fromEntries(counts);
}
