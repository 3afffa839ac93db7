/**
 * The tools that an agent has by MCP (https://modelcontextprotocol.io), on stdio and at `/mcp`.
 * They say statements of undrop in a session of the agent's own account, so the server decides
 * what it may do, as for a person.
 *
 * Invariant: no tool removes anything, shortens a hold, or runs a text that it was given: each
 * value is a quoted literal or name.
 */
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import type { CallToolResult, ToolAnnotations } from '@modelcontextprotocol/sdk/types.js';
import { z } from 'zod';
import { quoteIdentifier } from '../../../connections/sql.js';
import { isHoldId, RECYCLE_SCHEMA } from '../../../names/names.js';
import { asLike } from '../../../wildcards.js';
import { EXPLAINED_MAX } from '../../sql/explain-undrop.js';
import { literal, nameOf, undropManyText, wrongParam } from '../dropped-tables.js';
import { failureOf } from '../failures.js';
import type { SqlSession } from '../session.js';

export interface McpOptions {
  readonly version: string;
  /** Rejects as the work does, or if no session can be had. */
  inSession<T>(work: (session: Said) => Promise<T>): Promise<T>;
  /** A defect of undrop; the agent is told no more than that. */
  onDefect(error: unknown): void;
}

const INSTRUCTIONS =
  'undrop holds what DROP, TRUNCATE and DROP DATABASE take away, for days. After such a loss: ' +
  'list_dropped, then explain_undrop, then undrop; with swap if the names exist again.';

const ABOUT = `undrop is a proxy in front of MySQL or MariaDB. DROP TABLE, DROP DATABASE and TRUNCATE
of base tables that pass through it destroy nothing at once: the tables are held under other names
until the time that list_dropped shows, mostly a week. Until then undrop (the tool, or UNDROP TABLE
shop.orders as a statement) brings them back whole: rows, indexes, foreign keys, triggers,
AUTO_INCREMENT. Views, procedures, functions, triggers and events that were dropped or replaced come
back from their recorded definitions.

After a reset by a migration tool the tables often exist again, empty. Then use swap: what is there
now is held instead, in the same step, and the same call turns it round.

- undrop takes a table, a drop (all tables of that statement), a schema that was dropped, or since:
  all that went from then on, and until, by or schema to narrow it.
- explain_undrop tells what would happen, and changes nothing.
- hold keeps a table for longer.

undrop cannot bring back: rows that DELETE or UPDATE changed, columns and partitions that ALTER TABLE
dropped, temporary tables, what a rule lets go at once, what was dropped past the proxy, and tables
whose hold is over. A backup can.

All of it happens with the rights of your own account. Nothing here removes a held table.
`;

const TEXT_MAX = 256;
const text = (describe: string) => z.string().min(1).max(TEXT_MAX).describe(describe);
const TIME = 'like 14:00, 2 hours ago, or 2026-12-01 14:00:03+00:00';
const TABLE = 'schema.table, or an id of list_dropped';

const LIST = z.strictObject({
  schema: text('only tables of this schema').optional(),
  like: text('only names of this pattern of LIKE, or this id').optional(),
  by: text('only tables that this user dropped').optional(),
  program: text('only tables that a client of this name dropped').optional(),
  since: text(`only tables dropped since then, ${TIME}`).optional(),
  limit: z.int().min(1).max(500).default(50).describe('the newest so many'),
});
const UNDO = z.strictObject({
  table: text(`one table: ${TABLE}`).optional(),
  drop: text('all tables of one statement: its Drop_id').optional(),
  schema: text('alone: a whole dropped schema; with since: only of this schema').optional(),
  since: text(`all that went since then, as it was at that time, ${TIME}`).optional(),
  until: text('with since: up to then').optional(),
  by: text('with since: only by this user').optional(),
  program: text('with since: only by a client of this name').optional(),
  swap: z.boolean().default(false).describe('the live tables of these names are held instead'),
});
const HOLD = z.strictObject({
  table: text(TABLE),
  for: text('a duration from now on, like 30d; it must end later than now'),
});
const HISTORY = z.strictObject({
  table: text(`only of this table: ${TABLE}`).optional(),
  limit: z.int().min(1).max(500).default(50).describe('the newest so many'),
});

const READS = { readOnlyHint: true, openWorldHint: false } as const;
const CHANGES = { readOnlyHint: false, idempotentHint: false, openWorldHint: false } as const;

type Said = Pick<SqlSession, 'rows' | 'change'>;

interface Tool<S extends z.ZodType> {
  readonly name: string;
  readonly description: string;
  readonly inputSchema: S;
  readonly annotations: ToolAnnotations;
  run(session: Said, given: z.infer<S>): Promise<CallToolResult>;
}

/** Its input is checked by the schema before. */
function tool<S extends z.ZodType>(one: Tool<S>): Tool<z.ZodType> {
  return { ...one, run: (session, given) => one.run(session, given as z.infer<S>) };
}

const TOOLS = [
  tool({
    name: 'list_dropped',
    description: 'Lists the dropped tables that this account may bring back, newest first.',
    inputSchema: LIST,
    annotations: READS,
    async run(session, given) {
      const tables = await session.rows(listText(given));
      const none = 'Nothing is held that this account may see.';
      return answer({ tables }, tables.map(tableLine), none);
    },
  }),
  tool({
    name: 'explain_undrop',
    description: 'Tells what undrop with the same arguments would do. It changes nothing.',
    inputSchema: UNDO,
    annotations: READS,
    async run(session, given) {
      const statement = undoText(given);
      const tables = await session.rows(`EXPLAIN ${statement}`);
      const more = tables.length < EXPLAINED_MAX ? [] : ['and perhaps more, not explained'];
      return answer({ statement, tables }, [statement, ...tables.map(planLine), ...more]);
    },
  }),
  tool({
    name: 'undrop',
    description:
      'Brings back what was dropped: one table, one statement, a schema, or a span of time.',
    inputSchema: UNDO,
    // A swap takes the live tables away.
    annotations: { ...CHANGES, destructiveHint: true },
    run: (session, given) => changed(session, undoText(given)),
  }),
  tool({
    name: 'hold',
    description: 'Holds a dropped table for longer; a hold cannot be shortened.',
    inputSchema: HOLD,
    annotations: { ...CHANGES, destructiveHint: false },
    run: (session, { table, for: time }) =>
      changed(session, `HOLD TABLE ${targetOf(table)} FOR ${literal(time)}`),
  }),
  tool({
    name: 'history',
    description:
      'Lists who dropped, brought back or held what, newest first, for accounts with SELECT on it.',
    inputSchema: HISTORY,
    annotations: READS,
    async run(session, given) {
      const events = (await session.rows(historyText(given))).map(({ details, ...event }) => {
        return { ...event, details: JSON.parse(String(details)) as unknown };
      });
      const lines = events.map((event) => JSON.stringify(event));
      return answer({ events }, lines, 'Nothing has happened to it.');
    },
  }),
];

/** A server for one client. */
export function newMcpServer({ version, inSession, onDefect }: McpOptions): McpServer {
  const server = new McpServer({ name: 'undrop', version }, { instructions: INSTRUCTIONS });
  for (const { name, run, ...described } of TOOLS) {
    server.registerTool(name, described, async (given: unknown) => {
      try {
        return await inSession((session) => run(session, given));
      } catch (error) {
        return failed(error, onDefect);
      }
    });
  }
  const page = { title: 'About undrop: the undo, and its limits', mimeType: 'text/markdown' };
  server.registerResource('about', 'undrop://about', page, ({ href: uri }) => ({
    contents: [{ uri, text: ABOUT }],
  }));
  return server;
}

async function changed(session: Said, statement: string): Promise<CallToolResult> {
  const { info: message, warnings } = await session.change(statement);
  return answer({ statement, message, warnings }, [message, ...warnings]);
}

// ── statements ───────────────────────────────────────────────────────────────────────────────────

function listText({ schema, like, by, program, since, limit }: z.infer<typeof LIST>): string {
  const words = [
    'SHOW FULL DROPPED TABLES',
    schema !== undefined && `FROM ${quoteIdentifier(schema)}`,
    like !== undefined && `LIKE ${literal(like)}`,
    program !== undefined && `BY PROGRAM ${literal(program)}`,
    by !== undefined && `BY ${literal(by)}`,
    since !== undefined && `SINCE ${literal(since)}`,
    `LIMIT ${limit}`,
  ];
  return words.filter(Boolean).join(' ');
}

/** Throws UNDROP_API_REQUEST. */
function undoText({ swap, table, ...many }: z.infer<typeof UNDO>): string {
  const { drop, schema, since, until, by, program } = many;
  const ways = [table, drop, since ?? schema].filter((one) => one !== undefined);
  const isNarrowed = [until, by, program].some((one) => one !== undefined);
  if (ways.length !== 1 || (isNarrowed && since === undefined)) {
    const expected = 'one of table, drop, schema or since; until, by, program with since only';
    throw wrongParam('arguments', expected, { table, ...many });
  }
  const exchange = swap ? ' SWAP' : '';
  if (table !== undefined) return `UNDROP TABLE ${targetOf(table)}${exchange}`;
  const span = { drop, schema, user: by, program, since, until };
  return undropManyText(span, { swap, partial: false });
}

function targetOf(table: string): string {
  return /^[0-9a-f]{4,32}$/i.test(table) ? literal(table) : nameOf(table);
}

function historyText({ table, limit }: z.infer<typeof HISTORY>): string {
  const history = [RECYCLE_SCHEMA, 'history'].map(quoteIdentifier).join('.');
  const has = (key: string, value: string) =>
    `details LIKE ${literal(`%${asLike(`"${key}":${JSON.stringify(value)}`)}%`)}`;
  const [schema = '', name = ''] = table?.split(/\.(.*)/s) ?? [];
  const isId = table !== undefined && isHoldId(table);
  const ofName = table !== undefined && `${has('schema', schema)} AND ${has('table', name)}`;
  const where = isId ? `id = ${literal(table)}` : ofName || 'TRUE';
  return `SELECT at, event, who, details FROM ${history} WHERE ${where}
    ORDER BY seq DESC LIMIT ${limit}`;
}

// ── answers ──────────────────────────────────────────────────────────────────────────────────────

type Row = Readonly<Record<string, unknown>>;

function tableLine(row: Row): string {
  const parts = [
    `${row['Schema']}.${row['Table']}: ${row['How']} at ${row['Dropped_at']} UTC by ${row['User']}`,
    row['Program'] !== null && `program ${row['Program']}`,
    row['Rows'] !== null && `about ${row['Rows']} rows`,
    row['Next'],
    `id ${row['Id']}, drop ${row['Drop_id']}`,
  ];
  return parts.filter(Boolean).join('; ');
}

function planLine(row: Row): string {
  const parts = [
    `${row['Table']} becomes ${row['Becomes']}`,
    row['Rows'] !== null && `about ${row['Rows']} rows`,
    `${row['Foreign_keys']} foreign keys, ${row['Triggers']} triggers`,
    row['Notes'],
  ];
  return parts.filter(Boolean).join('; ');
}

function answer(
  structuredContent: Record<string, unknown>,
  lines: readonly string[],
  none = '',
): CallToolResult {
  const said = lines.length === 0 ? none : lines.join('\n');
  return { content: [{ type: 'text', text: said }], structuredContent };
}

/** With what to do next. */
function failed(error: unknown, onDefect: McpOptions['onDefect']): CallToolResult {
  const failure = failureOf(error);
  if (failure === null) onDefect(error);
  const { code, message, remedy } = failure ?? DEFECT;
  // That of a request names the API.
  const next = code === 'UNDROP_API_REQUEST' ? '' : ` ${remedy}`;
  return { isError: true, content: [{ type: 'text', text: `${code}: ${message}${next}` }] };
}

const DEFECT = {
  ...{ code: 'UNDROP_INTERNAL', message: 'A defect of undrop; its log says more.' },
  remedy: 'UNDROP TABLE as a statement may still work.',
};
