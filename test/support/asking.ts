/** Answers of a server by cells: the names of columns are no matter. */
import { query, type Target } from './servers.js';

/** Each text on a connection of its own, as `query` has it. */
export function asking(server: Target) {
  const column = async <Value = string>(text: string): Promise<Value[]> => {
    const rows = await query<Record<string, Value>>(server, text);
    return rows.flatMap((row) => Object.values(row).slice(0, 1));
  };
  return {
    /** The first column. */
    column,
    /** The first cell. */
    cell: async <Value = string>(text: string) => (await column<Value>(text))[0],
  };
}
