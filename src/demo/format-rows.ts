/** Rows as a table of text, the way MySQL's own clients print them. Pure. */

/** Without a newline at the end; empty for no rows. */
export function formatRows(rows: readonly Readonly<Record<string, unknown>>[]): string {
  const [first] = rows;
  if (first === undefined) return '';
  const names = Object.keys(first);
  const cells = rows.map((row) => names.map((name) => cellText(row[name])));
  const widths = names.map((name, column) =>
    Math.max(name.length, ...cells.map((row) => row[column]?.length ?? 0)),
  );
  const rule = `+${widths.map((width) => '-'.repeat(width + 2)).join('+')}+`;
  const line = (texts: readonly string[]): string =>
    `|${texts.map((text, column) => ` ${text.padEnd(widths[column] ?? 0)} `).join('|')}|`;
  return [rule, line(names), rule, ...cells.map(line), rule].join('\n');
}

function cellText(value: unknown): string {
  if (value === null || value === undefined) return 'NULL';
  return value instanceof Date ? value.toISOString() : String(value);
}
