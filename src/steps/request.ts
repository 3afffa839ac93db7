/**
 * The start of a drop: the client's statement, parsed, and the known facts of its session.
 */

import type { ClientCharset } from '../sql/lex/client-charset.js';
import type { DropTableStatement } from '../sql/verdict.js';
import type { ServerVersion } from '../wire/connection/handshake-v10.js';
import type { SessionFacts } from './session/user-session.js';

export interface DropRequest {
  /** The statement as the client sent it, without query attributes. */
  readonly text: Uint8Array;
  /** The server accepted the text before, when it was prepared; it isn't checked again. */
  readonly isSyntaxChecked?: boolean;
  readonly statement: DropTableStatement;
  /** The kind of statement, for the audit; default: from `statement`. */
  readonly how?: string;
  /** The start of a sentence that goes on with "not dropped"; default: it names the tables. */
  readonly subject?: string;
  /** Adds a note on how to restore the held tables (UNDROP_NOTE); default: none. */
  readonly tellsUndo?: boolean;
  readonly server: ServerVersion;
  /** The charset for quotes, as recognition has determined it. */
  readonly charset: ClientCharset;
  readonly session: SessionFacts;
  readonly groupId: string;
  /** An id for each name of the statement, in order. */
  readonly ids: readonly string[];
}

/** Facts that only the user's session has, read in it. */
export interface UserFacts {
  /** Default schema in UTF-8, or null. */
  readonly schema: string | null;
  readonly sqlMode: string;
  /** character_set_client. */
  readonly charset: string;
  /** character_set_results; empty if it is NULL. */
  readonly resultsCharset: string;
  /** `SERVER_IDENTITY_SQL`, from the user's session. */
  readonly serverIdentity: string;
  /** The present user of the session, without the host. */
  readonly user: string;
  /** The same with the host. */
  readonly account: string;
  /** foreign_key_checks. */
  readonly checksForeignKeys: boolean;
  /** sql_log_bin. */
  readonly logged: boolean;
  /** GTID_NEXT if it is a GTID; null: it is none, or there is no such thing. */
  readonly gtidNext: string | null;
  /** sql_if_exists of MariaDB: a drop runs as if it had IF EXISTS. */
  readonly addsIfExists: boolean;
  /** The user variable `@undrop`: a hint for the next drop; null: none. */
  readonly hint: string | null;
}
