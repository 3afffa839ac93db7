/**
 * The contents of one row of the ledger: a dropped table and its way back. The lifecycle needs none
 * of it, because the hold name is enough; users, restores and recovery do.
 */

import { causeText } from '../connections/errors.js';
import { col, ident, type Row, type SQLQuery, sql } from '../connections/sql.js';
import { UndropError } from '../errors.js';
import type { TableState } from '../names/names.js';
import type { Claims } from '../sql/comment-tags.js';
import { DESTROYING, type HowDropped } from '../sql/destroying.js';
import { type Detached, parseDetached } from './detached/detached.js';

/**
 * intent: the RENAME may or may not have happened. restored: under a name of its own again.
 * removed: physically, by undrop. gone: removed past undrop.
 */
export type LedgerState = 'intent' | TableState | 'restored' | 'removed' | 'gone';

/** States in which there is, or may be, a held table. */
export const LIVE_STATES: readonly LedgerState[] = ['intent', 'HOLD', 'PURGE', 'EVAC', 'DROP'];

export type TableKind = 'base' | 'view' | 'sequence' | 'missing';

/** Each property of a row: its column, and how that is read. All times are in UTC. */
const COLUMNS = {
  id: ['id', col.text],
  /** Shared by the tables of one statement. */
  dropId: ['group_id', col.text],
  proxyId: ['proxy_id', col.text],
  /** The thread id of the user's session. */
  threadId: ['thread_id', col.number],
  /** The port from which the server sees the session; null over a socket. */
  upstreamPort: ['upstream_port', col.numberOrNull],
  /** The name as stored by the server. */
  schema: ['schema_name', col.text],
  table: ['table_name', col.text],
  engine: ['engine', col.textOrNull],
  droppedAt: ['dropped_at', col.date],
  user: ['user_name', col.text],
  clientAddress: ['client_address', col.text],
  /** The client's own word for itself; null: none, or undrop was older. */
  program: ['program', col.textOrNull],
  clientDetails: ['client_details', clientDetailsOf],
  /** Cut at 4,096 characters; to its beginning in a row that was read without texts. */
  statementText: ['statement_text', col.text],
  rowEstimate: ['row_estimate', col.numberOrNull],
  byteEstimate: ['byte_estimate', col.numberOrNull],
  holdUntil: ['hold_until', col.date],
  /** Nobody ends its hold before; null: operators may. */
  lockedUntil: ['locked_until', col.dateOrNull],
  state: ['state', stateOf],
  /** Recorded after the change itself, which a DROP DATABASE makes long after `droppedAt`. */
  stateSince: ['state_since', col.date],
  /** Its last known schema while held; null while an intent. */
  holdSchema: ['hold_schema', col.textOrNull],
  holdName: ['hold_name', col.textOrNull],
  /** False: still in its own schema. */
  relocated: ['relocated', col.flag],
  /** Columns `todo` and `failure`; null: none. */
  pendingWork: ['failure', pendingWorkOf],
  definition: ['definition', col.textOrNull],
  /** The parts that were detached from the table, and are reattached on a restore. */
  detached: ['detached', detachedOf],
  /** sql_log_bin of the user's session. */
  sqlLogBin: ['sql_log_bin', col.flag],
  /** Whether this very row is in the binary log; its updates must do the same. */
  rowLogged: ['row_logged', col.flag],
  endedAt: ['ended_at', col.dateOrNull],
  /** Its name after the restore, `schema.table`. */
  restoredAs: ['restored_as', col.textOrNull],
} as const;

type Property = keyof typeof COLUMNS;
type Cells = { readonly [P in Property]: ReturnType<(typeof COLUMNS)[P][1]> };

export interface LedgerRow extends Cells {
  /** The asker may not see the statement. */
  readonly isStatementHidden?: true;
}

/** Recorded for each statement that drops, whatever it drops. */
export type DroppingStatement = Pick<
  LedgerRow,
  'dropId' | 'proxyId' | 'threadId' | 'user' | 'clientAddress' | 'statementText'
> & { readonly claims?: Claims };

const DETAILS_CHARACTERS_MAX = 4_096;

/** For the columns `program` and `client_details`; a longer text is without the tags. */
export function claimCells({ program = null, attributes = {}, tags = null }: Partial<Claims> = {}) {
  const whole = JSON.stringify({ attributes, tags });
  const short = JSON.stringify({ attributes, tags: null });
  return { program, details: whole.length > DETAILS_CHARACTERS_MAX ? short : whole };
}

/** A column that was changed by hand counts as none. */
function clientDetailsOf(row: Row, column: string): Omit<Claims, 'program'> {
  try {
    return JSON.parse(col.textOrNull(row, column) ?? '');
  } catch {
    return { attributes: {}, tags: null };
  }
}

export const PROPERTIES = Object.keys(COLUMNS) as readonly Property[];

/** For a SELECT, of which `cellsOf` reads the rows. */
export function rowColumns(properties: readonly Property[]): SQLQuery {
  const names = properties.flatMap((property) =>
    property === 'pendingWork' ? ['todo', 'failure'] : COLUMNS[property][0],
  );
  const columns = names.map((name) => ident(name));
  return sql.join(columns, ', ');
}

export function cellsOf<P extends Property>(
  row: Row,
  properties: readonly P[],
): Pick<LedgerRow, P> {
  const cells = properties.map((property) => {
    const [column, read] = COLUMNS[property];
    return [property, read(row, column)];
  });
  return Object.fromEntries(cells) as Pick<LedgerRow, P>;
}

function stateOf(row: Row, column: string): LedgerState {
  return col.text(row, column) as LedgerState;
}

function pendingWorkOf(row: Row, column: string): PendingWork | null {
  const text = col.textOrNull(row, column);
  // Older versions searched later for rows that break a key of a restored table.
  return text === null || row['todo'] === 'look'
    ? null
    : { todo: col.textOrNull(row, 'todo') as Todo | null, text };
}

/** The column may have been changed by hand. */
function detachedOf(row: Row, column: string): Detached {
  try {
    return parseDetached(col.textOrNull(row, column));
  } catch (error) {
    const params = { id: col.text(row, 'id'), cause: causeText(error) };
    throw new UndropError('UNDROP_LEDGER_ROW', params, error);
  }
}

/** The work that is left on the table of a row. */
export type Todo =
  /** Its restore has begun: detached parts have to be reattached at `restoredAs`. */
  | 'restoring'
  /**
   * It is restored, but the account may not create some of its triggers (reattach-triggers.ts).
   */
  | 'triggers'
  /** It is restored without a foreign key, until the parent has its name again (make-whole.ts). */
  | 'keys'
  /** For a schema: its restore has ended incomplete; the same request continues it. */
  | 'partly'
  /** It is torn (recycle/recovery/resolve-intents.ts); an operator has to repair it. */
  | 'torn'
  /** The parts that bind live tables have to be detached. */
  | 'detach'
  /** It has to be moved into the recycle schema. */
  | 'relocate'
  /** The same, once its session has unlocked its tables. */
  | 'unlock'
  /** It stays in its own schema (held/relocate/blockers.ts). */
  | 'blocked_by_file'
  | 'blocked_by_partitions'
  | 'blocked_by_triggers';

/** Why something was not done, and the work that is left. */
export interface PendingWork {
  /** The work that is left, for programs; null: none. */
  readonly todo: Todo | null;
  /** The reason, for people. */
  readonly text: string;
  /**
   * A foreign key leads from it to a live table, or from one to it; `passing`: another try may
   * detach it. Not in the ledger.
   */
  readonly binds?: 'passing' | 'lasting';
}

export const RESTORING: PendingWork = {
  todo: 'restoring',
  text: 'it is being restored',
};

/**
 * For a schema that was restored, or not dropped: this row has the definitions of its missing
 * parts.
 */
export const PARTLY: PendingWork = { todo: 'partly', text: 'it is not completely restored' };

export const TORN: PendingWork = {
  todo: 'torn',
  text: 'UNDROP_TORN: the server was killed during its RENAME; some of its partitions have the hold name',
};

/** The maximum of a statement's text in a row. */
export const STATEMENT_CHARACTERS_MAX = 4_096;
/** The part of it that shows the kind of statement (`howDropped`). */
export const STATEMENT_HEAD_CHARACTERS = 256;
/** The rest of a longer text isn't decoded; a character has at most four bytes. */
export const STATEMENT_BYTES_MAX = 4 * STATEMENT_CHARACTERS_MAX;

// ── the kind of statement that dropped a table ───────────────────────────────────────────────────
// Read from the first words of the recorded statement, without comments. A statement that isn't
// understood gives null, and no decision about rows depends on it.

const FORMS = [...DESTROYING, { words: [['UNDROP']], how: 'SWAP' } as const].map(
  ({ words, how = null }) => ({
    form: new RegExp(`^${words.map((any) => `(?:${any.join('|')})`).join(' ')}\\b`),
    how,
  }),
);

/** Null: the beginning of the text isn't enough. */
export function howDropped({ statementText }: Pick<LedgerRow, 'statementText'>): HowDropped | null {
  const words = statementText
    // A version comment is a part of the statement.
    .replaceAll(/\/\*M?!\d*/gi, ' ')
    .replaceAll(/\/\*[\s\S]*?\*\//g, ' ')
    .replaceAll(/(?:--\s|#).*|\*\//g, ' ')
    .replaceAll(/\s+/g, ' ')
    .trim()
    .toUpperCase();
  return FORMS.find(({ form }) => form.test(words))?.how ?? null;
}
