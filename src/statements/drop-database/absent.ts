/**
 * DROP DATABASE of a schema that isn't there, which destroys nothing: the session itself is asked
 * whether there is such a schema and whether it might drop one, and then says the words of DROP
 * DATABASE for that by SIGNAL, with IF EXISTS as a warning, which becomes a note on its way to the
 * client (note-of-absent.ts).
 *
 * Invariant: no DROP DATABASE goes to the server. A schema that comes to be meanwhile stays.
 */

import { UndropError } from '../../errors.js';
import { quoteClientName } from '../../sql/lex/client-charset.js';
import { clientCharsetOf } from '../../sql/lex/lex-mode.js';
import { decodeName } from '../../steps/names/decode-name.js';
import { FORGET_HINT } from '../../steps/rules/hints.js';
import { signalOf, signalSql } from '../../steps/session/signal.js';
import type { UserSession } from '../../steps/session/user-session.js';
import { SERVER_STATUS_DB_DROPPED } from '../../wire/capabilities.js';
import type { ErrPacket } from '../../wire/response/err.js';
import { okWithStatus } from '../../wire/response/ok.js';
import type { Result } from '../../wire/result-reader.js';
import {
  ABSENT_TO_DROP_VIEW,
  DDL_FORBIDDEN,
  ER_BAD_DB_ERROR,
  ER_DB_DROP_EXISTS,
  ER_DBACCESS_DENIED_ERROR,
  ER_LOCK_OR_ACTIVE_TRANSACTION,
} from '../../wire/server-errors.js';
import { quoteAccount, readSchemaFacts, schemaFactsSql } from './sql.js';

export interface SchemaDrop {
  /** Unescaped bytes in the client's charset. */
  readonly schema: Uint8Array;
  readonly ifExists: boolean;
  /** character_set_client. */
  readonly charset: string;
}

/** Nobody drops it, and that is what is said of a view in it, too. */
const CLOSED_SCHEMA = 'information_schema';
/** Ends the transaction as a drop does, and fails: nothing has such a name. */
const ENDING = Buffer.from('DROP /* undrop end */ VIEW `_undrop_none`.`_undrop`');
/**
 * DROP DATABASE would have ended with the same error, word for word. After others, of locks and of
 * waiting, the statement goes the usual way, and waits there.
 */
const SAME_AS_DROP: readonly number[] = [...DDL_FORBIDDEN, ER_LOCK_OR_ACTIVE_TRANSACTION];

/** Reads a table, as MySQL 5.6 and MariaDB keep the diagnostics of what was before otherwise. */
const NOTHING = Buffer.from(
  'DO /* undrop clean */ (SELECT 1 FROM (SELECT 1 AS one) AS one LIMIT 1)',
);

const SETTINGS = Buffer.from('SELECT CAST(@@sql_notes + 0 AS BINARY), @undrop IS NULL LIMIT 1');

/**
 * The answer to the DROP; null: the schema is there, or nobody can say whether it is. `isNote`:
 * what the session has as a warning is one.
 */
export async function answerOfAbsent(
  drop: SchemaDrop,
  { userSession }: { readonly userSession: UserSession },
): Promise<{ readonly payload: Buffer; readonly isNote?: boolean } | null> {
  const charset = clientCharsetOf(drop.charset);
  const name = schemaNameOf(drop);
  if (charset === null || name === null || drop.schema.includes(0)) return null;
  const quoted = quoteClientName(drop.schema, charset);
  const show = Buffer.concat([Buffer.from('SHOW /* undrop schema */ CREATE DATABASE '), quoted]);
  const view = [Buffer.from('DROP /* undrop rights */ VIEW '), quoted, Buffer.from('.`_undrop`')];
  if (name === CLOSED_SCHEMA) {
    const texts = [ENDING, Buffer.concat(view)];
    const [, denied] = await userSession.run(texts.map((text) => ({ kind: 'query', text })));
    return isError(denied, ER_DBACCESS_DENIED_ERROR) ? denied : null;
  }
  const [shown] = await userSession.run([{ kind: 'query', text: show }]);
  const isDenied = isError(shown, ER_DBACCESS_DENIED_ERROR);
  if (!isDenied && !isError(shown, ER_BAD_DB_ERROR)) return null;
  // Ends the transaction, and needs the right to drop, as the statement itself.
  const [settings, probe] = await userSession.run([
    { kind: 'query', text: SETTINGS },
    { kind: 'query', text: Buffer.concat(view) },
  ]);
  if (probe?.kind !== 'err') return null;
  if (SAME_AS_DROP.includes(probe.errno)) return probe;
  // Without any right on it there is no right to drop it, and these are the words for that.
  if (isDenied) return denied(shown, show, userSession);
  if (!ABSENT_TO_DROP_VIEW.includes(probe.errno)) return null;
  const [notes, hasNoHint] = settings?.kind === 'rows' ? (settings.rows[0] ?? []) : [];
  if (`${hasNoHint}` !== '1') await userSession.run([FORGET_HINT]);
  const said = { errno: ER_DB_DROP_EXISTS, message: textFor(name) };
  if (!drop.ifExists) {
    return ask(signalSql({ ...said, sqlState: 'HY000' }), userSession, 'err');
  }
  const note = { ...said, sqlState: '01000' };
  const isSilent = `${notes}` === '0';
  const ok = await ask(isSilent ? NOTHING : signalSql(note), userSession, 'ok');
  const payload = ok && okWithStatus(ok.payload, SERVER_STATUS_DB_DROPPED);
  return payload && { payload, isNote: !isSilent };
}

/** SHOW names the host that the session comes from, DROP DATABASE that of its account. */
async function denied(
  shown: ErrPacket,
  show: Buffer,
  userSession: UserSession,
): Promise<{ readonly payload: Buffer } | null> {
  const [asked] = await userSession.run([{ kind: 'query', text: schemaFactsSql() }]);
  const facts = asked === undefined ? shown : readSchemaFacts(asked);
  const signal = signalOf(shown, null);
  if ('errno' in facts || signal === null) return ask(show, userSession, 'err');
  const account = quoteAccount(facts.account);
  const message = signal.message.replace(/'.*'@'[^']*'/, () => account);
  return ask(signalSql({ ...signal, message }), userSession, 'err');
}

/** The last words in the session, which SHOW WARNINGS is about; null where it says others. */
async function ask(
  text: Buffer,
  userSession: UserSession,
  kind: 'ok' | 'err',
): Promise<{ readonly payload: Buffer } | null> {
  const [said] = await userSession.run([{ kind: 'query', text }]);
  return said !== undefined && said.kind === kind && 'payload' in said ? said : null;
}

function textFor(name: string): string {
  return `Can't drop database '${name}'; database doesn't exist`;
}

/** In UTF-8; null where it can't be read. */
export function schemaNameOf({
  schema,
  charset,
}: Pick<SchemaDrop, 'schema' | 'charset'>): string | null {
  try {
    return decodeName(schema, charset);
  } catch (error) {
    if (error instanceof UndropError) return null;
    throw error;
  }
}

function isError(
  result: Result | undefined,
  errno: number,
): result is Extract<Result, { readonly kind: 'err' }> {
  return result?.kind === 'err' && result.errno === errno;
}
