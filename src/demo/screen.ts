/** `screen` makes the text that `npm start` ends with: what to try next. Pure. */
import { SHOP_ROWS, SHOP_SCHEMA } from './shop.js';

export interface ScreenFacts {
  /** `MySQL 9.7.4` … */
  readonly server: string;
  readonly host: string;
  readonly port: number;
  /** What was wanted and taken by somebody else; null if that didn't happen. */
  readonly takenPort: number | null;
  readonly user: string;
  /** Command-line clients on the PATH which can log in to the server. */
  readonly clients: readonly string[];
  /** How a person types a command of undrop: `npx undrop` in a clone. */
  readonly command: string;
  /** The hold time as configured: `10m`. */
  readonly hold: string;
  /** The mode as configured; nothing is held in any but `hold`. */
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
    `The schema ${SHOP_SCHEMA} is for you to drop. Its rows:`,
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

/** `10m` as a person says it; what is no plain duration stays as it is. */
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
    'Or all of it by itself, without a client:',
    '',
    `  ${command} demo --tour`,
  ];
}

function withoutClient(command: string): readonly string[] {
  return [
    `  ${command} demo --tour`,
    '',
    'No MySQL client is installed here; this needs none: it drops tables, lists',
    'what is held and brings a table back. By hand, for what you drop yourself:',
    '',
    `  ${command} list`,
    `  ${command} restore ${SHOP_SCHEMA}.order_items`,
  ];
}
