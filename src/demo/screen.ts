/**
 * `screen` makes the text that `npm start` prints once it is ready: what to try next. Pure.
 */
import { SHOP_ROWS, SHOP_SCHEMA } from './shop.js';

interface ScreenFacts {
  /** `MySQL 9.7.4` … */
  readonly server: string;
  readonly host: string;
  readonly port: number;
  /** The wanted port, if another program had it; else null. */
  readonly takenPort: number | null;
  readonly user: string;
  /** Command-line clients on the PATH which can log in to the server. */
  readonly clients: readonly string[];
  /** The command line of undrop as the user types it: `npx undrop` in a clone. */
  readonly command: string;
  /** The hold time as configured: `10m`. */
  readonly hold: string;
  /** The mode as configured; only `hold` holds tables. */
  readonly mode: string;
}

/** The screen, with a newline at its end. */
export function screen(facts: ScreenFacts): string {
  const { host, port, takenPort, command } = facts;
  const rows = Object.entries(SHOP_ROWS).map(
    ([table, count]) => `${table} ${count.toLocaleString('en-US')}`,
  );
  const lines = [
    '',
    `undrop is ready on ${host}:${port}, in front of ${facts.server}.`,
    ...(takenPort === null
      ? []
      : [`(Port ${takenPort} is taken by another program, or another demo.)`]),
    `Drop what you like in the schema ${SHOP_SCHEMA}. Its rows:`,
    `  ${rows.join(', ')}.`,
    '',
    'Try in a second terminal, in this folder:',
    '',
    ...(facts.clients.length === 0 ? withoutClient(command) : withClient(facts)),
    '',
    facts.mode === 'hold'
      ? `A dropped or truncated table is held for ${spell(facts.hold)}, then removed.`
      : `UNDROP_MODE is ${facts.mode}: a dropped table is gone at once.`,
    'Ctrl-C ends the proxy and the server, and takes their data away.',
    '',
  ];
  return `${lines.join('\n')}\n`;
}

/** `10m` in words; other texts unchanged. */
function spell(duration: string): string {
  const [, count, unit = ''] = /^(\d+)([smhd])$/.exec(duration) ?? [];
  if (count === undefined) return duration;
  const word = { s: 'second', m: 'minute', h: 'hour', d: 'day' }[unit] ?? unit;
  return count === '1' ? `1 ${word}` : `${count} ${word}s`;
}

function withClient({ clients, host, port, user, command }: ScreenFacts): readonly string[] {
  return [
    ...clients.map((client) => `  ${client} -h ${host} -P ${port} -u ${user} ${SHOP_SCHEMA}`),
    '    SHOW TABLES;',
    '    DROP TABLE orders, order_items;',
    '    SHOW TABLES;',
    '    exit',
    '',
    `  ${command} list`,
    `  ${command} restore ${SHOP_SCHEMA}.order_items`,
    '',
    'Or watch all of it, without a client:',
    '',
    `  ${command} demo --tour`,
  ];
}

function withoutClient(command: string): readonly string[] {
  return [
    `  ${command} demo --tour`,
    '',
    'No MySQL client is installed here. This tour needs none: it drops two tables,',
    'lists them and restores one. For tables that you drop yourself:',
    '',
    `  ${command} list`,
    `  ${command} restore ${SHOP_SCHEMA}.order_items`,
  ];
}
