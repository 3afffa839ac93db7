/**
 * News: what a team should hear of at once, for the receivers of UNDROP_WEBHOOK. Made of lines of
 * the audit; plain records, which cross from one process of a service to another. Pure.
 *
 * Invariant: no text of a statement gets into it, because it may have literals of a user, but for
 * the tags of a tracing library.
 */
import type { AuditEvent } from '../audit.js';
import { formatBytes } from '../printer.js';

export type NewsKind = 'drop' | 'drop-database' | 'used-while-held';

export interface News {
  readonly kind: NewsKind;
  /** A sentence for people, as `marked` makes it. */
  readonly text: string;
  /** For programs. */
  readonly fields: Readonly<Record<string, unknown>>;
}

/** News of a process. Its id is given once, because two processes may send it at a reload. */
export interface IssuedNews extends News {
  readonly id: string;
  /** ISO 8601, UTC. */
  readonly at: string;
}

/** A smaller drop is no news. */
const DROP_BYTES_MIN = 1_024 ** 3;
/** The tables of a statement that are named; it may have thousands. */
const TABLES_NAMED = 10;

/** `events`: the lines of one statement, or of one look. */
export function newsOfAudit(events: readonly AuditEvent[]): readonly News[] {
  const held = events.filter((event) => event.event === 'held');
  const uses = events.filter((event) => event.event === 'used-while-held');
  return [...newsOfDrop(held), ...uses.map(newsOfUse)];
}

function newsOfDrop(held: readonly AuditEvent<'held'>[]): readonly News[] {
  const [first] = held;
  if (first === undefined) return [];
  const { user = '', client, threadId, dropId, how, schema, until, tags } = first;
  const known = held.flatMap(({ bytes }) => bytes ?? []);
  const bytes = known.length === 0 ? null : known.reduce((sum, one) => sum + one, 0);
  const isDatabase = how === 'DROP DATABASE';
  if (!isDatabase && (bytes ?? 0) < DROP_BYTES_MIN) return [];
  const tables = held.slice(0, TABLES_NAMED).map(({ table }) => `${schema}.${table}`);
  const counted = held.length === 1 ? '1 table' : `${held.length} tables`;
  const what = isDatabase ? `${schema}` : tables.join(', ');
  const more = isDatabase || held.length <= tables.length ? '' : ', …';
  const size = bytes === null ? 'an unknown size' : formatBytes(bytes);
  const text = marked`${user} dropped ${what}${more} (${how ?? 'DROP'}, ${counted}, ${size}). Held until ${until ?? '?'}.`;
  const fields = { user, client, threadId, dropId, how, schema, tables };
  return [
    {
      kind: isDatabase ? 'drop-database' : 'drop',
      text,
      fields: { ...fields, tableCount: held.length, bytes, until, tags },
    },
  ];
}

function newsOfUse({ event: kind, ...fields }: AuditEvent<'used-while-held'>): News {
  const { schema, table, count, user = '' } = fields;
  const text = marked`Statements of ${user} fail, because they use the dropped table ${`${schema}.${table}`} (${count} in the last minute).`;
  return { kind, text, fields };
}

/**
 * The tag of a text for people: each value is marked as code, so that a table named `@channel` or
 * `<!here>` notifies no people.
 */
export function marked(
  texts: TemplateStringsArray,
  ...values: readonly (string | number)[]
): string {
  return String.raw({ raw: texts }, ...values.map((value) => code(String(value))));
}

/** Without control characters. Slack reads &, < and > as marks even in code. */
function code(value: string): string {
  const text = value.replaceAll(/\p{Cc}+/gu, ' ').replaceAll('`', "'");
  const escaped = text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
  return escaped.trim() === '' ? escaped : `\`${escaped}\``;
}
