/**
 * News: what a team should hear of, for the webhooks (webhook/). `newsOfAudit` makes it of lines of
 * the audit; webhook/server-news.ts of the state of the server. Plain records, which cross from one
 * process of a service to another. Pure.
 *
 * Invariant: no text of a statement gets into it, because it may have literals of a user, but for
 * the tags of a tracing library.
 */
import type { AuditEvent } from './audit.js';
import { formatBytes } from './printer.js';

export const NEWS_KINDS = [
  'drop',
  'drop-database',
  'used-while-held',
  'expiring',
  'disk',
  'limit',
  'ledger',
  'collector',
  'left',
] as const;
export type NewsKind = (typeof NEWS_KINDS)[number];

/** A sentence: `texts` are undrop's own; between two of them stands a value, such as a name. */
export interface Sentence {
  readonly texts: readonly string[];
  readonly values: readonly string[];
}

export interface News {
  readonly kind: NewsKind;
  readonly sentence: Sentence;
  /** The fields of the format `event`. */
  readonly fields: Readonly<Record<string, unknown>>;
}

/** News of a process. Its id is given once, because two processes may send it at a reload. */
export interface IssuedNews extends News {
  readonly id: string;
  /** ISO 8601, UTC. */
  readonly at: string;
}

/** The tag of a sentence. */
export function sentenceOf(
  texts: readonly string[],
  ...values: readonly (string | number)[]
): Sentence {
  return { texts: [...texts], values: values.map(String) };
}

export function sizeText(bytes: number | null): string {
  return bytes === null ? 'an unknown size' : formatBytes(bytes);
}

/** The tables of a statement that are named; it may have thousands. */
const TABLES_NAMED = 10;

interface NewsSettings {
  readonly kinds: readonly NewsKind[];
  /** A smaller drop is no news of the kind `drop`. */
  readonly dropBytesMin: number;
}

/** `events`: the lines of one statement, or of one look. */
export function newsOfAudit(
  events: readonly AuditEvent[],
  settings: NewsSettings,
): readonly News[] {
  const held = events.filter((event) => event.event === 'held');
  const uses = events.filter((event) => event.event === 'used-while-held');
  return [...newsOfDrop(held, settings), ...uses.map(newsOfUse)].filter(({ kind }) =>
    settings.kinds.includes(kind),
  );
}

function newsOfDrop(
  held: readonly AuditEvent<'held'>[],
  { kinds, dropBytesMin }: NewsSettings,
): readonly News[] {
  const [first] = held;
  if (first === undefined) return [];
  const { user = '', client, threadId, dropId, how, schema, until, tags } = first;
  const known = held.flatMap(({ bytes }) => bytes ?? []);
  const bytes = known.length === 0 ? null : known.reduce((sum, one) => sum + one, 0);
  const isDatabase = how === 'DROP DATABASE' && kinds.includes('drop-database');
  if (!isDatabase && (bytes ?? 0) < dropBytesMin) return [];
  const tables = held.slice(0, TABLES_NAMED).map(({ table }) => `${schema}.${table}`);
  const counted = held.length === 1 ? '1 table' : `${held.length} tables`;
  const what = isDatabase ? `${schema}` : tables.join(', ');
  const more = isDatabase || held.length <= tables.length ? '' : ', …';
  const sentence = sentenceOf`${user} dropped ${what}${more} (${how ?? 'DROP'}, ${counted}, ${sizeText(bytes)}). Held until ${until ?? '?'}.`;
  const fields = { user, client, threadId, dropId, how, schema, tables };
  return [
    {
      kind: isDatabase ? 'drop-database' : 'drop',
      sentence,
      fields: { ...fields, tableCount: held.length, bytes, until, tags },
    },
  ];
}

function newsOfUse({ event: kind, ...fields }: AuditEvent<'used-while-held'>): News {
  const { schema, table, count, user = '' } = fields;
  const sentence = sentenceOf`Statements of ${user} fail, because they use the dropped table ${`${schema}.${table}`} (${count} in the last minute).`;
  return { kind, sentence, fields };
}
