/**
 * Prints lists of fields: as an aligned table, as a card with a line for each field, as JSON, or as
 * the result set of a statement. A new column of an output is a new field in its list. Pure.
 *
 * Invariants: a table and a card have no control characters, because a name may contain anything.
 * An unknown value is printed as such, never as another value.
 */
import { utcText } from './duration.js';

/** A property of a `T`: its value is `json`, or what `T` has under `key`. */
export type Field<T> = {
  /** The heading of a column, or the beginning of a line. Without it the field is in JSON alone. */
  readonly title?: string;
  /**
   * The text for people; default: the value. A card has a line for each text, and none for null; a
   * table takes one text.
   */
  readonly text?: (item: T) => string | readonly string[] | null;
  /** Numbers are aligned at the right. */
  readonly isNumber?: true;
} & (
  | { readonly key?: KeyOf<T>; readonly json?: never }
  /** undefined: JSON has no such key. */
  | { readonly key?: string; readonly json: (item: T) => unknown }
);

type KeyOf<T> = T extends unknown ? keyof T & string : never;

/** A line of headings, and a line for each item. */
export function printTable<T extends object>(
  fields: readonly Field<T>[],
  items: readonly T[],
): string {
  const columns = titled(fields).map((field) => {
    const texts = items.map((item) => textsOf(field, item).join(', '));
    const cells = [field.title ?? '', ...texts].map(printable);
    const width = Math.max(...cells.map(({ length }) => length));
    return cells.map((cell) => (field.isNumber ? cell.padStart(width) : cell.padEnd(width)));
  });
  const lines = [null, ...items].map((_item, at) => columns.map((cells) => cells[at]).join('  '));
  return lines.map((line) => `${line.trimEnd()}\n`).join('');
}

/** A line for each field, or several, of which the first has its title. */
export function printCard<T extends object>(fields: readonly Field<T>[], item: T): string {
  const lines = titled(fields).flatMap((field) =>
    textsOf(field, item).map((text, at) => [at === 0 ? (field.title ?? '') : '', text] as const),
  );
  const width = Math.max(...lines.map(([title]) => title.length));
  return lines.map(([title, text]) => `${title.padEnd(width)}  ${printable(text)}\n`).join('');
}

/** The fields that have a key; times are in ISO 8601, UTC. */
export function printJson<T extends object>(
  fields: readonly Field<T>[],
  item: T,
): Readonly<Record<string, unknown>> {
  const found: Record<string, unknown> = {};
  for (const field of fields) {
    const value = valueIn(field, item);
    if (field.key === undefined || value === undefined) continue;
    found[field.key] = value instanceof Date ? value.toISOString() : value;
  }
  return found;
}

/** The output of a command with `--json`. */
export function jsonText(value: object): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

/** A column for each title, a row for each item; times are in UTC, to the second. */
export function printResultSet<T extends object>(fields: readonly Field<T>[], items: readonly T[]) {
  const columns = titled(fields).map(({ title = '', isNumber }) => {
    return { name: title, type: isNumber ? ('number' as const) : ('text' as const) };
  });
  const rows = items.map((item) =>
    titled(fields).map((field) => {
      const value = valueIn(field, item) ?? null;
      if (value === null || typeof value === 'number') return value;
      return value instanceof Date ? utcText(value) : String(value);
    }),
  );
  return { columns, rows };
}

function titled<T>(fields: readonly Field<T>[]): readonly Field<T>[] {
  return fields.filter(({ title }) => title !== undefined);
}

function valueIn<T extends object>({ key, json }: Field<T>, item: T): unknown {
  if (json !== undefined) return json(item);
  return key === undefined ? undefined : Reflect.get(item, key);
}

function textsOf<T extends object>(field: Field<T>, item: T): readonly string[] {
  if (field.text !== undefined) return [field.text(item) ?? []].flat();
  const value = valueIn(field, item);
  if (value === null || value === undefined) return [NOT_KNOWN];
  if (typeof value === 'number') return [formatCount(value)];
  return [value instanceof Date ? utcText(value) : String(value)];
}

export const NOT_KNOWN = 'not known';

export function formatCount(count: number): string {
  return count.toLocaleString('en-US');
}

export function formatBytes(bytes: number | null): string {
  if (bytes === null) return NOT_KNOWN;
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value >= 10 || unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** Replaces the characters that a terminal would take as commands. */
export function printable(text: string): string {
  return text.replaceAll(/\p{C}/gu, '?');
}

const NAMES_MAX = 3;

/** The first few, and how many more. */
export function someOf(whats: readonly string[], shown = NAMES_MAX): string {
  const more = whats.length - shown;
  return `${whats.slice(0, shown).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}
