/** What a drop starts from: the client's statement, recognised, and what we know of its session. */

import type { DropTableStatement } from '../sql/grammar/drop-table.js';
import type { ClientCharset } from '../sql/lex/lex-mode.js';
import type { ServerVersion } from '../wire/connection/handshake-v10.js';
import type { SessionFacts } from './session/user-session.js';

export interface DropRequest {
  /** The statement as the client sent it, without query attributes. */
  readonly text: Uint8Array;
  /** The server took the text before, when it was prepared; it isn't asked again. */
  readonly isSyntaxChecked?: boolean;
  readonly statement: DropTableStatement;
  /** What the statement is, for the audit; default: it follows from `statement`. */
  readonly how?: string;
  /** The start of a sentence that goes on with "not dropped"; default: it names the tables. */
  readonly subject?: string;
  /** The session is told how what is held comes back (UNDROP_NOTE); default: it isn't. */
  readonly tellsUndo?: boolean;
  readonly server: ServerVersion;
  /** How to quote in the client's charset, as recognition has seen it. */
  readonly charset: ClientCharset;
  readonly session: SessionFacts;
  readonly groupId: string;
  /** One for each name of the statement, in order. */
  readonly ids: readonly string[];
}

/** What only the user's session knows, read in it. */
export interface UserFacts {
  /** Default schema in UTF-8, or null. */
  readonly schema: string | null;
  readonly sqlMode: string;
  /** character_set_client. */
  readonly charset: string;
  /** character_set_results; empty if it is NULL. */
  readonly resultsCharset: string;
  /** `SERVER_IDENTITY_SQL`, asked in the user's session. */
  readonly serverIdentity: string;
  /** Who the session is now, without the host. */
  readonly user: string;
  /** The same with the host. */
  readonly account: string;
  /** foreign_key_checks. */
  readonly checksForeignKeys: boolean;
  /** sql_log_bin. */
  readonly logged: boolean;
  /** GTID_NEXT if it is a GTID; null: it is none, or there is no such thing. */
  readonly gtidNext: string | null;
  /** sql_if_exists of MariaDB: a drop goes as if it said IF EXISTS. */
  readonly addsIfExists: boolean;
  /** The user variable `@undrop`: a hint for the next drop; null: none. */
  readonly hint: string | null;
}
