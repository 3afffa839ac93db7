/**
 * A drop without a client and without a table: the next one finds its service connections open, and
 * its code compiled. After a pause, a drop took two to five times as long as the one before.
 *
 * Invariant: the only statements that are sent are the reads of an EXPLAIN, which write nothing.
 * The answers of the user's session, the RENAME and the relocation are made up.
 */
import { assert } from '../../assert.js';
import type { RelocateTable } from '../../held/relocate/blockers.js';
import type { Relocation } from '../../held/relocate/relocate.js';
import { LEDGER } from '../../ledger/tables.js';
import { shapeOf } from '../../ledger/write.js';
import { recycleSchemaFor } from '../../names/names.js';
import { isServiceError } from '../../service/errors.js';
import { note, sql } from '../../service/sql.js';
import { classifying } from '../../sql/classify.js';
import { modeFromSqlMode } from '../../sql/lex/lex-mode.js';
import { readAtOnce } from '../../sql/reading.js';
import { dropTable } from '../../statements/drop-table/drop-table.js';
import type { DropService } from '../../statements/intercepted.js';
import { Intents, newId } from '../../steps/intents.js';
import { readFacts } from '../../steps/session/facts.js';
import type {
  DropRequest,
  RecordedIntent,
  RelocateHow,
  ServiceRenameOutcome,
  UserCommand,
  UserFacts,
  World,
} from '../../steps/world.js';
import { SERVER_STATUS_AUTOCOMMIT } from '../../wire/capabilities.js';
import type { ServerVersion } from '../../wire/connection/handshake-v10.js';
import {
  decodeErr,
  decodeOk,
  encodeErr,
  type Result,
  type RowsResult,
} from '../../wire/response.js';

/** A table that every server has. */
const TABLE = { schema: 'mysql', table: 'db' };
const TEXT = Buffer.from('DROP TABLE mysql.db');
const PORT = 1;

/** Does not reject for an error of the server or the pool. */
export async function rehearseDrop(service: DropService, times: number): Promise<void> {
  try {
    // Without it, a drop would create it.
    await service.pool.run(sql`SELECT ${note('inspect')} 1 FROM ${LEDGER} LIMIT 0`);
    const request = requestTo(await shapeOf(service.pool));
    if (request === null) return;
    for (let left = times; left > 0; left--) {
      await dropTable(new RehearsedWorld(request, service), request);
    }
  } catch (error) {
    if (!isServiceError(error)) throw error;
  }
}

function requestTo({ flavour, versionId }: ServerVersion): DropRequest | null {
  const server = { flavour, versionId };
  const mode = modeFromSqlMode(server, '', 'utf8mb4');
  const verdict = readAtOnce(classifying(TEXT, mode, { multiStatements: false }));
  if (verdict.kind !== 'drop-table') return null;
  return {
    text: TEXT,
    statement: verdict.statement,
    server,
    charset: 'plain',
    session: { threadId: 0, upstreamLocalPort: PORT, clientAddress: '' },
    groupId: newId(),
    ids: [newId()],
  };
}

/** Only the reads of the service are real. */
class RehearsedWorld implements World {
  readonly isBroken = false;
  readonly isUnruled = true;
  readonly #request: DropRequest;
  readonly #service: DropService;
  #recording: Promise<RecordedIntent> | null = null;

  constructor(request: DropRequest, service: DropService) {
    this.#request = request;
    this.#service = service;
  }

  async run(commands: readonly UserCommand[]): Promise<readonly Result[]> {
    return commands.flatMap((command) => resultOf(command) ?? []);
  }

  beginRecording(): void {
    this.#recording = this.#inspect();
    this.#recording.catch(() => undefined);
  }

  async isRecordingStuck(): Promise<boolean> {
    await this.#recording;
    return false;
  }

  async record(): Promise<RecordedIntent> {
    const recorded = await this.#recording;
    assert(recorded !== null, 'it was begun before');
    if (recorded.intent === null) return recorded;
    return { ...recorded, intent: { ...recorded.intent, sessionHost: `:${PORT}` } };
  }

  async take(): Promise<ServiceRenameOutcome> {
    return { kind: 'renamed', isFree: true };
  }

  async relocate(
    tables: readonly RelocateTable[],
    { logged }: RelocateHow,
  ): Promise<readonly Relocation[]> {
    const holdSchema = recycleSchemaFor(logged);
    return tables.map(({ id, holdName }) => ({ id, outcome: 'moved', holdSchema, holdName }));
  }

  async know(): Promise<void> {}

  rename(): never {
    throw new Error('a rehearsal renames nothing');
  }

  recordTargets(): never {
    throw new Error('a DROP TABLE has no targets');
  }

  locks(): never {
    throw new Error('a rehearsal has no locks');
  }

  keepLonger(): never {
    throw new Error('a DROP TABLE keeps nothing for longer');
  }

  mayRename(): never {
    throw new Error('a rehearsal renames nothing');
  }

  async #inspect(): Promise<RecordedIntent> {
    const service = { ...this.#service, userSession: this, guess: GUESS };
    const intents = new Intents(this.#request, service, new Set());
    try {
      return await intents.inspect(FACTS, [TABLE]);
    } finally {
      intents.release();
    }
  }
}

const GUESS = { schema: null, charset: 'utf8mb4', user: '' };
const FACTS_ROW = [null, '', 'utf8mb4', '1', '', '', '@', '1', 'utf8mb4', null, '0', 'OFF', '1'];
const FACTS = factsOf();

function factsOf(): UserFacts {
  const facts = readFacts(rowOf(FACTS_ROW));
  assert(!('errno' in facts), 'the facts are a row');
  return facts;
}

/** Null: the command has no response. */
function resultOf(command: UserCommand): Result | null {
  if (command.kind === 'close') return null;
  if (command.kind === 'prepare') {
    return { kind: 'prepared', statementId: 1, payload: Buffer.alloc(0), definitions: 0 };
  }
  const text = Buffer.from(command.text).toString('latin1');
  if (text.startsWith('SHOW ')) return rowOf(['db', 'CREATE TABLE `db` (\n)']);
  if (text.startsWith('SELECT ')) return rowOf(FACTS_ROW);
  if (text.startsWith('ALTER ')) return decodeErr(encodeErr(NOT_PARTITIONED));
  return decodeOk(Buffer.of(0, 0, 0, SERVER_STATUS_AUTOCOMMIT, 0, 0, 0));
}

const NOT_PARTITIONED = { errno: 1505, sqlState: 'HY000', message: Buffer.from('') };

function rowOf(values: readonly (string | null)[]): RowsResult {
  const row = values.map((value) => (value === null ? null : Buffer.from(value)));
  return { kind: 'rows', columns: [], rows: [row], statusFlags: SERVER_STATUS_AUTOCOMMIT };
}
