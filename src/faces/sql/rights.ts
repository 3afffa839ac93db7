/**
 * Checks in the user's session what the server would allow this user; grants are never parsed. To
 * restore a table under its name is to create and fill it (CREATE, INSERT); under another name it
 * is to rename it (ALTER and DROP on the old name as well); to swap it with the live table is to
 * drop that. Every check is a statement that can't succeed.
 *
 * Invariant: only an error that the server returns to users with the privilege counts as a yes
 * (tried on all four servers, on tables, views and missing names); every other one is the client's
 * response.
 */
import { encodeName } from '../../drop/steps/names/client-names.js';
import { readKind } from '../../drop/steps/session/facts.js';
import * as ownSql from '../../drop/steps/session/user-session.js';
import * as world from '../../drop/steps/world.js';
import { assert, UndropError } from '../../errors.js';
import { inBatches, keyOf, type QualifiedTable, writtenName } from '../../names/names.js';
import { clientCharsetOf } from '../../sql/lex/client-charset.js';
import { decodeErr, type ErrPacket, encodeErr, type Result } from '../../wire/response.js';
import * as ER from '../../wire/server-errors.js';
import { onSession, SaidByServer } from './bind.js';

/** The context of the checks. */
export interface RightsAsker {
  readonly session: world.UserSession;
  readonly facts: world.UserFacts;
  /** Hex digits that are unique to the check. */
  readonly dropId: string;
}

/** Two names of one column; the table is there; the schema is not (MySQL 8 and later). */
const MAY_CREATE: readonly number[] = [ER.DUP_FIELDNAME, ER.TABLE_EXISTS_ERROR, ER.BAD_DB_ERROR];
const MAY_FILL: readonly number[] = [ER.BAD_FIELD_ERROR];
const MAY_DROP = [...ER.NO_PARTITION_TO_DROP, ...ER.ABSENT_TABLE, ER.WRONG_OBJECT];
const MAY_ALTER = [ER.CANT_DROP_FIELD_OR_KEY, ...ER.ABSENT_TABLE, ER.WRONG_OBJECT];
const MAY_TAKE = [...ER.METADATA_LOCK_GRANTED, ...ER.ABSENT_TABLE];
const ABSENT_PROGRAM = [ER.SP_DOES_NOT_EXIST, ER.EVENT_DOES_NOT_EXIST];
const NOT_TO_BE_SEEN: readonly number[] = [...ER.ACCESS_DENIED, ...ER.BAD_NAME];

/** Null: yes. Else the error of the server, or of undrop. */
type Answer = ErrPacket | UndropError | null;

/** Throws the error of a check. */
export function assertGranted(said: Answer): void {
  if (said === null) return;
  throw said instanceof UndropError ? said : new SaidByServer(said);
}

/** The number of names that are checked in one write. */
const NAMES_IN_A_WRITE = 500;

/** Null: CREATE and INSERT are granted, and a table may be created now; the transaction is over. */
export async function askToCreate(
  name: QualifiedTable,
  asked: RightsAsker,
): Promise<ErrPacket | null> {
  const own = onSession(name, asked.facts);
  const how = optionsOf(asked);
  const created = await askOne(asked, ownSql.mayCreateSql(own, how), MAY_CREATE);
  if (created !== null && !ER.ACCESS_DENIED.includes(created.errno)) return created;
  // Last, because its error names both privileges.
  return (await askForColumn(asked, ownSql.mayFillSql(own, how))) ?? created;
}

/** Null: the table could be renamed away, as far as its old name goes. */
export async function askToRename(name: QualifiedTable, asked: RightsAsker): Promise<Answer> {
  const own = onSession(name, asked.facts);
  const how = optionsOf(asked);
  const dropped = await askOne(asked, ownSql.mayRenameSql(own, 'PARTITION', how), MAY_DROP);
  if (dropped !== null) return dropped;
  // MariaDB 11.8 checks only DROP above.
  const altered = await askOne(asked, ownSql.mayRenameSql(own, 'COLUMN', how), MAY_ALTER);
  return altered ?? refuseHidden(name, asked);
}

/**
 * Null: a table of that name could be dropped. The schema is asked about first, by a name that no
 * table has, because a live table of this name may be locked by others. A temporary table of the
 * session would answer for the table of its name, so it is a refusal.
 */
export async function askToDropName(name: QualifiedTable, asked: RightsAsker): Promise<Answer> {
  const ofSchema = await askForLock({ ...name, table: noneOf(asked) }, asked);
  const isDenied = ofSchema !== null && ER.ACCESS_DENIED.includes(ofSchema.errno);
  return isDenied ? askToSwap(name, asked) : ofSchema;
}

function askForLock(name: QualifiedTable, asked: RightsAsker): Promise<ErrPacket | null> {
  const own = onSession(name, asked.facts);
  return askOne(asked, ownSql.waitForLockSql(own, optionsOf(asked)), MAY_TAKE);
}

/** Each needs the privilege, which may be on single columns. */
const LEDGER_COLUMNS = "state = '', hold_name = '', hold_until = ''";

/** Whether the user may drop any routine and event of each of the schemas; nothing is changed. */
export async function mayDropPrograms(
  schemas: readonly string[],
  asked: RightsAsker,
): Promise<boolean> {
  const { charset } = optionsOf(asked);
  for (const schema of schemas) {
    const own = ownSql.qualified(onSession({ schema, table: noneOf(asked) }, asked.facts), charset);
    for (const what of ['PROCEDURE', 'EVENT']) {
      const alter = `ALTER ${what} /* undrop may-drop ${asked.dropId} */ `;
      const text = Buffer.concat([Buffer.from(alter), own, Buffer.from(" COMMENT ''")]);
      if ((await askOne(asked, text, ABSENT_PROGRAM)) !== null) return false;
    }
  }
  return true;
}

/** Null: the user is an operator, who may UPDATE the ledger. */
export function askToOperate(asked: RightsAsker): Promise<ErrPacket | null> {
  const text = Buffer.from(
    `UPDATE /* undrop may-operate ${asked.dropId} */ \`_undrop\`.\`ledger\` SET ${LEDGER_COLUMNS}, \`${noneOf(asked)}\` = 1`,
  );
  return askForColumn(asked, text);
}

/** Null: the live table could be dropped, and isn't locked by another session. */
export async function askToSwap(name: QualifiedTable, asked: RightsAsker): Promise<Answer> {
  return (await askForLock(name, asked)) ?? refuseHidden(name, asked);
}

/**
 * Null: a table of any name may be created and filled in `to`, and views unless it is another
 * schema, and then those of `schema` may be renamed.
 */
export async function askForSchema(
  { schema, to }: { readonly schema: string; readonly to: string },
  asked: RightsAsker,
): Promise<Answer> {
  // No table has that name, so only privileges on the schema, or on all, are a yes.
  const table = noneOf(asked);
  const created = await askToCreate({ schema: to, table }, asked);
  if (created !== null) return ofAnyTable(created, to, asked);
  if (schema !== to) return ofAnyTable(await askToRename({ schema, table }, asked), schema, asked);
  const own = onSession({ schema, table }, asked.facts);
  return askForColumn(asked, ownSql.mayViewSql(own, optionsOf(asked)));
}

/** The server's error about the name that no table has, as one about the schema. */
function ofAnyTable<T extends Answer>(said: T, schema: string, asked: RightsAsker): T | ErrPacket {
  if (said === null || said instanceof UndropError) return said;
  const name = new RegExp(`(?:\`[^\`]*\`\\.)?['\`]${noneOf(asked)}['\`]`);
  const message = said.message.toString().replace(name, () => `any table of '${schema}'`);
  return decodeErr(encodeErr({ ...said, message: Buffer.from(message) }));
}

/** A temporary table or a view has the name: then the check wasn't about a table. */
async function refuseHidden(name: QualifiedTable, asked: RightsAsker): Promise<Answer> {
  const text = ownSql.showCreateSql(onSession(name, asked.facts), optionsOf(asked).charset);
  const kind = readKind(await world.askText(asked.session, text));
  if (typeof kind === 'object') return kind;
  if (kind !== 'temporary' && kind !== 'view') return null;
  const what = kind === 'view' ? 'a view' : 'a temporary table of this session';
  return new UndropError('UNDROP_NOT_UNDONE', {
    why: `${writtenName(name)} is ${what}`,
    instead: `Drop or rename ${kind === 'view' ? 'the view' : 'that'} first, or restore it under another name.`,
  });
}

/** By `keyOf`: those of the names that this user may create and fill; no transaction ends. */
export async function askWhichMayBeSeen(
  names: readonly QualifiedTable[],
  asked: RightsAsker,
): Promise<ReadonlySet<string>> {
  const granted = new Set<string>();
  const known = [...new Map(names.map((name) => [keyOf(name), name])).values()];
  const sayable = known.filter((name) => isSayable(name, asked.facts));
  for (const batch of inBatches(sayable, NAMES_IN_A_WRITE)) {
    const commands = batch.map((name): world.UserCommand => {
      const text = ownSql.mayFillSql(onSession(name, asked.facts), optionsOf(asked));
      return { kind: 'prepare', text };
    });
    const results = await asked.session.run(commands);
    for (const [index, name] of batch.entries()) {
      const result = results[index];
      assert(result?.kind === 'err', 'there is no such column');
      const may = maySee(result.errno);
      if (may === null) throw new SaidByServer(result);
      if (may) granted.add(keyOf(name));
    }
  }
  return granted;
}

/** By the error of a CREATE with a column that there is not; null: it says nothing of rights. */
export function maySee(errno: number): boolean | null {
  if (MAY_FILL.includes(errno)) return true;
  return NOT_TO_BE_SEEN.includes(errno) ? false : null;
}

/** The ones of schemas in which this user may create and fill any table. */
export async function seenOf<T extends { readonly schema: string }>(
  all: readonly T[],
  asked: RightsAsker,
): Promise<readonly T[]> {
  const table = noneOf(asked);
  const names = all.map(({ schema }) => ({ schema, table }));
  const granted = await askWhichMayBeSeen(names, asked);
  return all.filter(({ schema }) => granted.has(keyOf({ schema, table })));
}

function isSayable({ schema, table }: QualifiedTable, { charset }: world.UserFacts): boolean {
  return [schema, table].every((name) => encodeName(name, charset) !== null);
}

async function askOne({ session }: RightsAsker, text: Buffer, yes: readonly number[]) {
  return unlessYes(await world.askText(session, text), yes);
}

/** The same about a column that there is not: it is only prepared, so no transaction ends. */
async function askForColumn({ session }: RightsAsker, text: Buffer) {
  const [said] = await session.run([{ kind: 'prepare', text }]);
  return unlessYes(said, MAY_FILL);
}

/** Null: the response is a yes. */
function unlessYes(said: Result | undefined, yes: readonly number[]): ErrPacket | null {
  assert(said?.kind === 'err', 'a question can not succeed');
  return yes.includes(said.errno) ? null : said;
}

/** A table that there is not. */
export function noneOf({ dropId }: RightsAsker): string {
  return `_undrop_none_${dropId}`;
}

function optionsOf({ facts, dropId }: RightsAsker) {
  return { dropId, charset: clientCharsetOf(facts.charset) ?? 'plain' } as const;
}
