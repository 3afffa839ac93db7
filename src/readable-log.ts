/**
 * A record of the log as one line for people, where it is written to a terminal. Pure. Programs get
 * the record itself, as JSON (log.ts).
 */

type LogRecord = Readonly<Record<string, unknown>>;

/** What a line begins with, or what tells a person nothing. */
const NOT_SHOWN = new Set([
  ...['level', 'time', 'msg', 'event', 'proxyId', 'threadId', 'relay', 'worker', 'pid'],
  ...['groupId', 'client', 'user', 'statement'],
]);

/** The sentence of a record: for a drop what was held, by whom and until when. */
export function readableLine(record: LogRecord): string {
  const { event, msg } = record;
  if (event === 'held') {
    const until = dueTime(record['held']);
    return `held ${listed(record['tables'])} ${by(record)}${until === null ? '' : ` until ${until}`}`;
  }
  const facts = Object.entries(record).flatMap(([key, value]) => {
    const text = NOT_SHOWN.has(key) ? '' : shown(value);
    return text === '' ? [] : [`${key} ${text}`];
  });
  const details = [by(record), ...facts].filter((text) => text !== '').join(', ');
  return details === '' ? String(msg) : `${msg} (${details})`;
}

function by({ user, client }: LogRecord): string {
  if (typeof user === 'string' && user !== '') return `by ${user}`;
  return typeof client === 'string' ? `from ${client}` : '';
}

/** Counters that are 0 and what is not there say nothing. */
function shown(value: unknown): string {
  if (value === null || value === undefined || value === 0 || value === '') return '';
  if (Array.isArray(value)) return listed(value);
  if (typeof value !== 'object') return String(value);
  const { message } = value as { message?: unknown };
  return typeof message === 'string' ? message : JSON.stringify(value);
}

function listed(value: unknown): string {
  return Array.isArray(value) ? value.map(String).join(', ') : '';
}

/** The first due time in hold names, by this machine's clock. */
function dueTime(held: unknown): string | null {
  const [, year, month, day, hour, minute, second] =
    /_(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)$/.exec(Array.isArray(held) ? String(held[0]) : '') ??
    [];
  if (year === undefined) return null;
  const due = new Date(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  return due.toLocaleString('sv-SE', { dateStyle: 'short', timeStyle: 'short' });
}
