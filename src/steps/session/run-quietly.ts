/**
 * Runs statements of a drop on the user session where its settings would make more of them, or tell
 * the client more, than of a DROP.
 */
import {
  okWithoutReports,
  TRACK_STATE_CHANGE,
  TRACK_SYSTEM_VARIABLES,
} from '../../wire/response.js';
import type { Result } from '../../wire/result-reader.js';
import type { UserFacts } from '../request.js';
import type { UserCommand, UserSession } from './user-session.js';

type Settings = Pick<UserFacts, 'addsIfExists'>;

/** `settings`: null where they aren't known. */
export async function runQuietly(
  session: UserSession,
  commands: readonly UserCommand[],
  settings: Settings | null,
): Promise<readonly Result[]> {
  const { addsIfExists = false } = settings ?? {};
  const sent = addsIfExists ? commands.map(strictly) : commands;
  const answered = sent.filter(({ kind }) => kind !== 'close');
  const results = await session.run(sent);
  return results.map((result, index) => {
    const command = answered[index];
    return command?.kind === 'query' ? unreported(result, command.text, addsIfExists) : result;
  });
}

function unreported(result: Result, text: Uint8Array, addsIfExists: boolean): Result {
  if (result.kind !== 'ok') return result;
  return okWithoutReports(result, [
    // SET STATEMENT tells of a variable that it doesn't change.
    ...(addsIfExists && passesBy(text) ? [TRACK_SYSTEM_VARIABLES] : []),
    // Of a DROP TEMPORARY TABLE, which finds none; a DROP TABLE says nothing even where it does.
    ...(WORDS.test(Buffer.from(text).toString('latin1')) ? [TRACK_STATE_CHANGE] : []),
  ]);
}

const WORDS = /DROP \/\* undrop words /;
const SET_STATEMENT = 'SET STATEMENT ';
const STRICT = 'sql_if_exists = 0';
/** Not the words for what is missing, which are those of IF EXISTS there. */
const PASSES_BY = ['RENAME /* undrop ', 'ALTER /* undrop ', 'DROP /* undrop rights '];
const START_BYTES = 96;

/** What asks whether a table is there, or needs it, must not pass by one that isn't. */
function strictly(command: UserCommand): UserCommand {
  if (command.kind !== 'query' || !passesBy(command.text)) return command;
  const isSet = startOf(command.text).startsWith(SET_STATEMENT);
  const verb = `${SET_STATEMENT}${STRICT}${isSet ? ', ' : ' FOR '}`;
  const rest = isSet ? command.text.subarray(SET_STATEMENT.length) : command.text;
  return { ...command, text: Buffer.concat([Buffer.from(verb), rest]) };
}

function passesBy(text: Uint8Array): boolean {
  const start = startOf(text);
  const isSet = start.startsWith(SET_STATEMENT) && start.includes(' /* undrop ');
  return isSet || PASSES_BY.some((verb) => start.startsWith(verb));
}

function startOf(text: Uint8Array): string {
  return Buffer.from(text.subarray(0, START_BYTES)).toString('latin1');
}
