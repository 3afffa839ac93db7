/**
 * Handles a statement that was taken out of the client's stream: undrop classifies it (by queries
 * to the server, if only the server can), then drops and holds, refuses, or passes it on after all.
 *
 * Invariant: a statement that would destroy a base table never goes to the server; one that can't
 * be understood and might be such a statement is refused, and the table is still there.
 */
import { replaceTable } from '../../drop/create-or-replace/replace-table.js';
import { dropSchema } from '../../drop/drop-database/drop-schema.js';
import { dropDefinition } from '../../drop/drop-definition.js';
import { dropOrPass } from '../../drop/drop-table/hold-or-pass.js';
import type { Intercepted, Interception } from '../../drop/intercepted.js';
import {
  answeredWith,
  readUserFacts,
  refused,
  refusedIfValid,
  refuseUnclear,
} from '../../drop/intercepted.js';
import { whyUnsupported } from '../../drop/steps/inspect-names.js';
import * as refusals from '../../drop/steps/refusals/refusals.js';
import type { UserFacts } from '../../drop/steps/world.js';
import { assert, assertNever, UndropError } from '../../errors.js';
import { runUndo, withBound } from '../../faces/sql/own-statements.js';
import { crossCheck } from '../../sql/cross-check.js';
import type { DropTableStatement, Refused } from '../../sql/verdict.js';
import * as com from '../../wire/commands.js';
import { classifyByFacts, isTaken } from '../gate/classify-packet.js';
import { HELD_BYTES_MAX } from '../gate/command-gate.js';
import { isOnOneNode, notOnOneNode } from './on-one-node.js';
import type { DispatchOptions } from './prepared-drops.js';
import {
  commandOnName,
  dynamic,
  prepareDrop,
  prepareUndo,
  runPrepared,
} from './prepared-statements.js';

/** Runs an intercepted statement to its response. Rejects if the user session broke. */
export async function answerTo(
  taken: Intercepted,
  options: DispatchOptions,
): Promise<Interception> {
  const { prepared } = options;
  const { payload } = taken.packet;
  switch (taken.packetKind) {
    case 'query':
      return answerToText(taken, options);
    case 'prepare':
      // With any result, it is now the last one prepared.
      prepared.onCommand(com.COM_STMT_PREPARE);
      return answerToText(taken, options);
    case 'named':
      return commandOnName(taken, options);
    case 'handle': {
      const drop = prepared.find(payload.readUInt32LE(1));
      assert(drop !== null, 'the gate takes no other handle');
      return runPrepared(drop, options);
    }
    case 'unknown': {
      const command = (payload[0] ?? 0).toString(16).padStart(2, '0');
      return refused(new UndropError('UNDROP_UNKNOWN_COMMAND', { command }), options);
    }
  }
}

async function answerToText(taken: Intercepted, options: DispatchOptions): Promise<Interception> {
  let { verdict } = taken;
  let facts: UserFacts | null = null;
  if (verdict === null || verdict.kind === 'disagree') {
    const asked = await readUserFacts(options);
    if ('errno' in asked) return answeredWith(asked);
    facts = asked;
    verdict = await classifyByFacts(taken.text, facts, options);
  }
  if (verdict.kind === 'disagree') {
    return refused(refusals.notUnderstood(`the character set ${facts?.charset}`), options);
  }
  if (!isTaken(verdict, options.service)) return { kind: 'forward', facts };
  if (taken.text.length > HELD_BYTES_MAX && verdict.kind !== 'recycle-schema-write') {
    return refused(refusals.notUnderstood('it is too long'), options);
  }
  const { kind } = verdict;
  const isRun = kind === 'drop-table' || kind === 'refused';
  if (isRun && (await isOnOneNode(options))) {
    const tables = kind === 'refused' ? refusals.namesIn(verdict) : 'Tables were';
    return refused(notOnOneNode(tables), options);
  }
  switch (verdict.kind) {
    case 'not-ours':
      return { kind: 'forward', facts };
    case 'drop-table':
      return dropTable(taken, { statement: verdict.statement, facts }, options);
    case 'drop-definition':
      return dropDefinition(taken, verdict, facts, options);
    case 'refused':
      return answerRefusedForm(taken, { ...verdict, facts }, options);
    case 'dynamic':
      return dynamic(taken, verdict, options);
    case 'unclear':
      if (verdict.tooMany !== undefined)
        return refused(refusals.tooManyOf(verdict.tooMany), options);
      return refuseUnclear(taken, verdict.why, options);
    case 'recycle-schema-write':
      return refused(refusals.recycleSchemaRefusal(verdict), options);
    case 'undo': {
      const undoing = { text: taken.text, statement: verdict.statement, facts };
      if (taken.packetKind === 'prepare') return prepareUndo(undoing, options);
      return withBound(undoing, options, (undo, read) =>
        runUndo(undo, { facts: read, isBinary: false, text: taken.text }, options),
      );
    }
    default:
      return assertNever(verdict);
  }
}

function answerRefusedForm(
  taken: Intercepted,
  verdict: Refused & { readonly facts: UserFacts | null },
  options: DispatchOptions,
): Promise<Interception> {
  const { form, source } = verdict;
  if (source !== undefined) return dynamic(taken, { ...verdict, source }, options);
  const { schema, ifExists = false, replacement, facts } = verdict;
  if (schema !== null && form === 'drop-database') {
    if (taken.packetKind === 'prepare')
      return prepareDrop(taken.text, { schema, ifExists }, options);
    return dropSchema(taken, { schema, ifExists, facts }, options);
  }
  const tables = refusals.namesIn(verdict);
  if (form === 'create-or-replace' && taken.packetKind === 'prepare') {
    return refused(refusals.notDone('by a prepared CREATE OR REPLACE', tables), options);
  }
  if (replacement !== undefined) return replaceTable(taken, { replacement, facts }, options);
  const error = refusals.notDone(refusals.HOW[form], tables);
  // The server itself reports forms that it doesn't support.
  if (form === 'set-statement' || (form === 'create-or-replace' && schema !== null)) {
    const mayBeSeveral = form === 'set-statement' && taken.text.includes(';');
    return refusedIfValid(taken, { error, mayBeSeveral }, options);
  }
  return refused(error, options);
}

async function dropTable(
  taken: Intercepted,
  { statement, facts }: { statement: DropTableStatement; facts: UserFacts | null },
  options: DispatchOptions,
): Promise<Interception> {
  const isPrepared = taken.packetKind === 'prepare';
  // A query is checked while the server answers (inspectNames), or before it passes.
  const difference = isPrepared ? await crossCheck(statement, taken.text) : null;
  const unsupported = whyUnsupported(statement, options.server) ?? difference;
  const isForServer = statement.empties === true && !options.service.protect.has('truncate');
  if (unsupported !== null && isForServer) return { kind: 'forward', facts };
  if (unsupported !== null) return refuseUnclear(taken, unsupported, options);
  if (isPrepared) return prepareDrop(taken.text, statement, options);
  return dropOrPass(taken, statement, facts, options);
}
