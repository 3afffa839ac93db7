/**
 * What a text means for the drops that a session has prepared by name: whether it executes or
 * deallocates one of them. What it does to names otherwise is noticed.
 */

import { modeFromSqlMode } from '../../sql/lex/lex-mode.js';
import { type NamedStatement, readNamedStatement } from '../../sql/named-statement.js';
import type { ReadOptions } from '../../sql/next-statement.js';
import type { UserFacts } from '../../steps/request.js';
import type { ServerVersion } from '../../wire/connection/handshake-v10.js';
import type { PreparedDrops } from './prepared-drops.js';

export type OnName = Extract<NamedStatement, { kind: 'execute' | 'deallocate' }>;

/** The statement where it concerns one of them, else null. */
export function namedStatementEffect(
  named: NamedStatement,
  prepared: PreparedDrops,
): OnName | null {
  switch (named.kind) {
    case 'other':
      return null;
    case 'disagree':
    case 'unknown':
      prepared.doubtNames();
      return null;
    case 'prepare':
      noticePrepare(named.name, prepared);
      return null;
    case 'deallocate':
      if (named.name === null) prepared.doubtNames();
      return isKnown(named, prepared) ? named : null;
    case 'execute':
      return isKnown(named, prepared) ? named : null;
  }
}

/** Whatever becomes of it, what had that name before is gone. */
export function noticePrepare(name: string | null, prepared: PreparedDrops): void {
  if (name === null) prepared.doubtNames();
  else prepared.forgetName(name);
}

/** A text that goes to the server after all; `facts` null: the session's mode isn't known. */
export function noticeForwarded(
  text: Uint8Array,
  facts: UserFacts | null,
  options: ReadOptions & { readonly server: ServerVersion; readonly prepared: PreparedDrops },
): void {
  const { server, prepared } = options;
  if (!prepared.watchesNames) return;
  const mode = facts === null ? server : modeFromSqlMode(server, facts.sqlMode, facts.charset);
  namedStatementEffect(readNamedStatement(text, mode, options), prepared);
}

function isKnown({ name }: OnName, prepared: PreparedDrops): boolean {
  return name !== null && prepared.locateHoldTable(name) !== null;
}
