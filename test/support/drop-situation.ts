/**
 * A DROP TABLE in a situation: the statement recognised as the session does, what the session and
 * the service saw, and the answers to what follows. Drives `nextStep` and tells its steps in words.
 */
import type { NameKind } from '../../src/drop/facts.js';
import {
  type Answers,
  type Inspection,
  NO_ANSWERS,
  nextStep,
  type Step,
  withBrought,
} from '../../src/drop/next-step.js';
import type { SteadOutcome } from '../../src/drop/rename-in-stead.js';
import type { DropRequest, UserFacts } from '../../src/drop/request.js';
import type { UserCommand } from '../../src/drop/user-session.js';
import { type ErrorCode, UndropError } from '../../src/errors.js';
import type { TableKind } from '../../src/ledger/entry.js';
import type { LockedTable, UsedTable } from '../../src/ledger/session-locks.js';
import type { IntentFacts, IntentTable } from '../../src/ledger/write.js';
import type { Relocation } from '../../src/moves/relocate.js';
import { STAYS_FOR_ITS_FILE } from '../../src/moves/stays.js';
import { RECYCLE_SCHEMA, recycleSchemaFor } from '../../src/names/recycle-schema.js';
import type { Result } from '../../src/wire/result-reader.js';
import { parseServerVersion } from '../../src/wire/server-version.js';
import { classifyUnderAll } from './classify.js';
import { describePayload, errResult, okResult, preparedResult, rowsResult } from './results.js';

/** `[1146, '42S02', 'text']` */
export type ErrorOf = readonly [number, string, string];

/** One name of the statement: what the session sees, and what the service sees. */
export interface SeenName {
  /** Of the user session; an error that says nothing on the kind. */
  readonly kind: NameKind | ErrorOf;
  /** It has a DATA DIRECTORY. */
  readonly stays?: boolean;
  /** Of the service: the same kind unless it says otherwise. */
  readonly seen?: Partial<Omit<IntentTable, 'holdUntil'>> & { readonly recorded?: boolean };
}

type SessionAnswer = 'ok' | 'row' | 'no row' | ErrorOf;

export type Answer =
  | { readonly ok: number }
  | { readonly err: ErrorOf }
  | { readonly prepared: number }
  /** Of the RENAME by the service. */
  | { readonly stead: SteadOutcome['kind'] }
  /** Of the service: what the session has locked; null: it can't tell. */
  | { readonly locks: readonly LockedTable[] | null }
  /** Of the service: what is in use; null: it can't tell. */
  | { readonly used: readonly UsedTable[] | null; readonly ownInnodb?: number }
  /** To the commands of one step under LOCK TABLES. */
  | { readonly all: readonly SessionAnswer[] }
  | { readonly relocated: readonly ('moved' | 'failed' | 'put-back')[] };

export interface Situation {
  readonly server: string;
  readonly sql: string;
  readonly names: readonly SeenName[];
  /** The answer to preparing the client's text; a statement id by default. */
  readonly judge?: ErrorOf;
  /** Instead of the facts of the session. */
  readonly factsError?: ErrorOf;
  readonly facts?: Partial<UserFacts>;
  readonly intent?: Partial<Omit<IntentFacts, 'tables' | 'utcNow'>>;
  readonly intentError?: ErrorCode;
  /** To the steps behind the inspection, in order. */
  readonly answers?: readonly Answer[];
}

const VERSIONS: Readonly<Record<string, string>> = {
  'mysql-9.7': '9.7.4',
  'mysql-8.0': '8.0.11',
  'mysql-5.6': '5.6.24-log',
  'mariadb-10.11': '5.5.5-10.11.19-MariaDB-log',
  'mariadb-11.8': '11.8.9-MariaDB',
};
export const GROUP_ID = '0195a1b2c3d070008000000000000000';
const DUE = new Date('2026-03-08T12:00:00Z');

export function idOf(index: number): string {
  return `0195a1b2c3d07000800000000000000${(index + 1).toString(16)}`;
}

/** The steps to the answer, one line each. */
export function stepsOf(situation: Situation): readonly string[] {
  const request = requestOf(situation);
  const told: string[] = [];
  const open = [...(situation.answers ?? [])];
  let answers: Answers = NO_ANSWERS;
  for (;;) {
    const step = nextStep(request, answers);
    told.push(...tell(step));
    if (step.do === 'answer' || step.do === 'again') break;
    answers = { ...answers, ...answerTo(step, situation, open, answers) };
  }
  if (open.length > 0) told.push(`${open.length} answers that nobody asked for`);
  return told;
}

export function requestOf({ server, sql }: Pick<Situation, 'server' | 'sql'>): DropRequest {
  const version = parseServerVersion(VERSIONS[server] ?? server);
  const text = Buffer.from(sql);
  const verdict = classifyUnderAll(text, version, { multiStatements: true });
  if (verdict.kind !== 'drop-table') throw new Error(`${sql} is ${verdict.kind}`);
  return {
    text,
    statement: verdict.statement,
    server: version,
    charset: 'utf8',
    session: {
      threadId: 42,
      upstreamLocalPort: 50_001,
      clientAddress: '10.0.0.1:40000',
    },
    groupId: GROUP_ID,
    ids: verdict.statement.names.map((_name, index) => idOf(index)),
  };
}

export function inspectionOf(situation: Situation): Inspection {
  const { statement } = requestOf(situation);
  const facts: UserFacts = {
    schema: 'shop',
    sqlMode: '',
    charset: 'utf8mb4',
    serverIdentity: 'the server',
    user: 'app',
    account: 'app@10.0.0.1',
    checksForeignKeys: true,
    logged: true,
    gtidNext: null,
    tracksSchema: false,
    tracksGtids: false,
    resultsCharset: 'utf8mb4',
    tracksState: false,
    addsIfExists: false,
    wish: null,
    ...situation.facts,
  };
  const names = statement.names.map(({ schema, table }) => ({
    schema: schema ?? (facts.schema === null ? null : Buffer.from(facts.schema)),
    table,
  }));
  const tables = names.map((name, index): IntentTable => {
    const { kind, seen } = situation.names[index] ?? { kind: 'missing' };
    const { recorded, ...more } = seen ?? {};
    const seenKind = more.kind ?? kindSeen(kind);
    const isHeld = recorded ?? (seenKind === 'base' || seenKind === 'sequence');
    return {
      id: idOf(index),
      schema: Buffer.from(name.schema ?? []).toString(),
      table: Buffer.from(name.table).toString(),
      kind: seenKind,
      engine: 'InnoDB',
      rowEstimate: 3,
      byteEstimate: 16_384,
      holdUntil: isHeld ? DUE : null,
      foreignKeysOut: 0,
      foreignKeysIn: [],
      foreignKeysToItself: [],
      triggers: [],
      ...more,
    };
  });
  const intent: IntentFacts = {
    utcNow: new Date('2026-03-01T12:00:00Z'),
    sessionHost: 'localhost:50001',
    serverIdentity: 'the server',
    lowerCaseTableNames: 0,
    lockedTables: situation.server === 'mysql-9.7' ? [] : null,
    hasBackupLock: false,
    tables,
    ...situation.intent,
  };
  const { judge, factsError, intentError } = situation;
  return {
    judge: judge === undefined ? preparedResult(7) : errResult(...judge),
    kinds: situation.names.map(({ kind }) =>
      typeof kind === 'string' ? kind : errResult(...kind),
    ),
    sequences: situation.names.map(({ kind, seen }) => {
      return kind === 'temporary' || seen?.kind === 'sequence';
    }),
    stay: situation.names.map(({ stays = false }) => (stays ? STAYS_FOR_ITS_FILE : null)),
    facts: factsError === undefined ? facts : errResult(...factsError),
    intent: intentError === undefined ? intent : null,
    intentError:
      intentError === undefined
        ? null
        : new UndropError(intentError, { cause: 'why', tables: 'Table t was' }),
    names,
  };
}

/** Temporary tables are nothing that the service could see. */
function kindSeen(kind: SeenName['kind']): TableKind {
  return kind === 'base' || kind === 'view' ? kind : 'missing';
}

function sessionResult(answer: SessionAnswer): Result {
  if (answer === 'ok') return okResult();
  if (typeof answer !== 'string') return errResult(...answer);
  return answer === 'row' ? rowsResult(['Table'], ['t']) : rowsResult(['Table']);
}

function answerTo(
  step: Step,
  situation: Situation,
  open: Answer[],
  answers: Answers,
): Partial<Answers> {
  const { stead, rounds } = answers;
  if (step.do === 'inspect') return { inspection: inspectionOf(situation) };
  const answer = open.shift();
  if (answer === undefined) throw new Error(`no answer to: ${tell(step).join('; ')}`);
  if (step.do === 'locks') {
    if (!('locks' in answer)) throw new Error('expected locks');
    return { locks: { known: answer.locks } };
  }
  if (step.do === 'used') {
    if (!('used' in answer)) throw new Error('expected what is in use');
    return {
      used: { tables: answer.used, ownInnodb: answer.ownInnodb ?? null, isWaitedFor: false },
    };
  }
  if (step.do === 'round') {
    if (!('all' in answer)) throw new Error('expected the answers to all commands');
    return { rounds: [...rounds, answer.all.map(sessionResult)] };
  }
  if (step.do === 'relocate') {
    if (!('relocated' in answer)) throw new Error('expected the outcome of a relocation');
    const relocations = step.tables.map((table, index) =>
      relocation(table, answer.relocated[index] ?? 'moved', step.logged),
    );
    return { relocations };
  }
  if (step.do === 'stead') {
    if (!('stead' in answer)) throw new Error('expected the outcome of a RENAME by the service');
    return { stead: [...stead, steadOutcome(answer.stead)], turns: [] };
  }
  if (step.do !== 'user') throw new Error('nothing to answer');
  return withBrought(answers, step.brings, resultOf(answer));
}

export function steadOutcome(kind: SteadOutcome['kind']): SteadOutcome {
  return kind === 'denied' || kind === 'failed' ? { kind, cause: 'why' } : { kind };
}

function relocation(
  { id, holdName }: { readonly id: string; readonly holdName: string },
  outcome: Relocation['outcome'],
  logged: boolean,
): Relocation {
  switch (outcome) {
    case 'moved':
      return { id, outcome, holdSchema: recycleSchemaFor(logged), holdName };
    case 'put-back':
      return { id, outcome, failure: 'it is a view' };
    case 'failed':
      return { id, outcome, errno: 1317, failure: 'locked by another session' };
  }
}

function resultOf(answer: Answer): Result {
  if ('ok' in answer) return okResult(answer.ok);
  if ('err' in answer) return errResult(...answer.err);
  if ('prepared' in answer) return preparedResult(answer.prepared);
  throw new Error('no answer of a user session');
}

function tell(step: Step): readonly string[] {
  switch (step.do) {
    case 'inspect':
      return ['inspect'];
    case 'user':
      return [`user, for the ${step.brings}: ${step.commands.map(tellCommand).join(' | ')}`];
    case 'locks':
      return ['service: what is locked'];
    case 'used':
      return ['service: what is in use'];
    case 'round': {
      const how = step.renames ? ', renaming' : '';
      return [`user, a round${how}: ${step.commands.map(tellCommand).join(' | ')}`];
    }
    case 'relocate': {
      const names = step.tables.map(
        ({ fromSchema, holdName, stays }) => `${fromSchema}.${holdName}${stays ? ' stays' : ''}`,
      );
      const how = `${step.logged ? '' : ' unlogged'}${step.detach ? ', freed before' : ''}`;
      return [`relocate${how}: ${shorten(names.join(', '))}`];
    }
    case 'stead': {
      const { tables, logged, checksForeignKeys, killAfterMs } = step;
      const how = `${logged ? '' : ' unlogged'}${checksForeignKeys ? '' : ' without checks'}`;
      const names = tables.map(
        ({ schema, table, holdName }) => `${schema}.${table} to ${shorten(holdName)}`,
      );
      return [`in the user's stead${how}, for ${killAfterMs} ms: ${names.join(', ')}`];
    }
    case 'again':
      return [
        `again: ${step.because}`,
        ...(step.otherwise ? [`or: ${step.otherwise.message}`] : []),
      ];
    case 'answer':
      return [`answer: ${describePayload(step.payload)}`, ...step.held.map(tellHeld)];
  }
}

function tellCommand(command: UserCommand): string {
  if (command.kind === 'close') return `CLOSE ${command.statementId}`;
  const text = shorten(Buffer.from(command.text).toString());
  return command.kind === 'prepare' ? `PREPARE ${text}` : text;
}

function tellHeld(held: Extract<Step, { do: 'answer' }>['held'][number]): string {
  const where = `${held.holdSchema}.${shorten(held.holdName)}`;
  const inPlace = held.relocated ? '' : `, not in ${RECYCLE_SCHEMA}: ${held.failure}`;
  return `held: ${where}${inPlace}`;
}

/** `<group>` and `<id 1>` for what is 32 digits long. */
function shorten(text: string): string {
  return text
    .replaceAll(GROUP_ID, '<group>')
    .replaceAll(/0195a1b2c3d07000800000000000000([1-9a-f])/g, '<id $1>');
}
