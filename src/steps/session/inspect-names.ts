/**
 * What only the user's session can say of a drop: the server's verdict on the text, what answers to
 * each name, the session's own facts.
 *
 * Invariant: nothing is sent that fails where the session has set GTID_NEXT and nothing is missing
 * but a name: an error uses that GTID up, and then nothing can be renamed under it. A PREPARE may
 * fail.
 */
import { assert } from '../../assert.js';
import type { LastingBlocker } from '../../held/relocate/blockers.js';
import type { ServerVersion } from '../../wire/connection/handshake-v10.js';
import type { ErrPacket } from '../../wire/response.js';
import type { Result } from '../../wire/result-reader.js';
import {
  ABSENT_TABLE,
  ER_DBACCESS_DENIED_ERROR,
  ER_TABLE_NOT_LOCKED,
  ER_TABLEACCESS_DENIED_ERROR,
} from '../../wire/server-errors.js';
import { perform, query, type Steps } from '../procedure.js';
import type { DropRequest, UserFacts } from '../request.js';
import {
  factsSql,
  type NameKind,
  readFacts,
  readIsSequence,
  readKind,
  readLastingStay,
} from './facts.js';
import type { UserCommand } from './user-session.js';
import { askExistsSql, showCreateSql } from './user-session-sql.js';

export interface Look {
  /** The answer to preparing the client's own text; null: it was judged before, and taken. */
  readonly judge: Result | null;
  /** For each name, in order; an error that says nothing on the kind ends the drop. */
  readonly kinds: readonly (NameKind | ErrPacket)[];
  /** For each name: whether the session sees a sequence of MariaDB's. */
  readonly sequences: readonly boolean[];
  /** For each name: why it must be held in its own schema, or null. */
  readonly stay: readonly (LastingBlocker | null)[];
  readonly facts: UserFacts | ErrPacket;
}

/**
 * Asks in the session, while the service begins to record unless `isAlone`. `gtidMayBeSet`: the
 * session has spoken of GTID_NEXT, so it is asked first.
 */
export function* inspectNames(
  request: DropRequest,
  { gtidMayBeSet, isAlone = false }: { readonly gtidMayBeSet: boolean; readonly isAlone?: boolean },
): Steps<Look> {
  const { statement, server, charset, text, wasJudged = false } = request;
  const judging: UserCommand[] = wasJudged ? [] : [{ kind: 'prepare', text }];
  const facts = { kind: 'query', text: factsSql(server) } as const;
  const first = (commands: readonly UserCommand[]) =>
    isAlone ? say(commands) : perform('both', { commands });
  const shows = statement.names.map((name) => query(showCreateSql(name, charset)));
  if (!gtidMayBeSet) {
    const results = yield* first([...judging, ...shows, facts]);
    const judge = wasJudged ? null : results[0];
    assert(judge !== undefined, 'the PREPARE has an answer');
    const answers = wasJudged ? results : results.slice(1);
    return { judge, ...kindsOf(answers.slice(0, -1), server), facts: readFacts(last(answers)) };
  }
  const results = yield* first([...judging, facts]);
  const judge = wasJudged ? null : results[0];
  assert(judge !== undefined, 'the PREPARE has an answer');
  const read = readFacts(last(results));
  const answers =
    'errno' in read || read.gtidNext === null ? yield* say(shows) : yield* askOneByOne(request);
  return { judge, ...kindsOf(answers, server), facts: read };
}

/** SHOW CREATE of what is there; of what isn't, the error of a PREPARE. */
function* askOneByOne({ statement, charset }: DropRequest): Steps<readonly Result[]> {
  const exist = yield* say(
    statement.names.map((name) => ({ kind: 'prepare', text: askExistsSql(name, charset) })),
  );
  const isShown = (result: Result | undefined) =>
    result?.kind === 'prepared' || (result?.kind === 'err' && !SURE.includes(result.errno));
  const shown = statement.names.filter((_name, index) => isShown(exist[index]));
  const answers = [...(yield* say(shown.map((name) => query(showCreateSql(name, charset)))))];
  return exist.map((result) => (isShown(result) ? (answers.shift() ?? result) : result));
}

/** The table is absent; a right is missing, which a temporary table would not need; not locked. */
const SURE: readonly number[] = [
  ...ABSENT_TABLE,
  ER_DBACCESS_DENIED_ERROR,
  ER_TABLEACCESS_DENIED_ERROR,
  ER_TABLE_NOT_LOCKED,
];

function kindsOf(
  answers: readonly Result[],
  server: ServerVersion,
): Pick<Look, 'kinds' | 'sequences' | 'stay'> {
  return {
    kinds: answers.map(readKind),
    sequences: answers.map(readIsSequence),
    stay: answers.map((answer) => readLastingStay(answer, server)),
  };
}

function say(commands: readonly UserCommand[]): Steps<readonly Result[]> {
  return perform('user', { commands, renames: false });
}

function last(results: readonly Result[]): Result {
  const result = results.at(-1);
  assert(result !== undefined, 'the facts have an answer');
  return result;
}
