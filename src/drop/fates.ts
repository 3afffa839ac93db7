/**
 * The fate of each table of an explained drop, in words, by the decisions of the drop itself. Pure.
 *
 * Invariant: one fate for each table, in order; a refusal of the statement is the fate of all.
 */
import { UndropError } from '../errors.js';
import type { TriggerRights } from '../held/relocate/blockers.js';
import { blockerOfDrop, TRIGGERS_LEFT, TRIGGERS_STAY } from '../held/relocate/blockers.js';
import type { IntentTable } from '../ledger/write.js';
import type { Ruling } from '../policy/decide.js';
import { type Drop, decide, type Name, parentError, parentInSchema } from './drop-table/decide.js';
import type { DropService } from './intercepted.js';
import * as inspect from './steps/inspect-names.js';
import { notAllowed } from './steps/rules/hints.js';
import { sentenceStart } from './steps/world.js';

/** The fate of one table. */
export interface Fate {
  /** `held`, `refused: …`, `not dropped: …`. */
  readonly what: string;
  readonly isHeld: boolean;
  /** It stays in its own schema. */
  readonly stays: boolean;
}

type Service = Pick<DropService, 'protect' | 'allowDestroy'>;

interface How {
  /** The hint destroy. */
  readonly destroys: boolean;
  readonly service: Service;
  /** The privileges of the service account on triggers; null: no table has one. */
  readonly triggers: TriggerRights | null;
}

export function fatesOfTables(drop: Drop, how: How): readonly Fate[] {
  const { request, intent, rulings, blockers } = drop;
  const all = (fate: Fate) => intent.tables.map(() => fate);
  const passed = passedFate(drop, how);
  if (passed !== null) return all(passed);
  const refusal = inspect.refusalBeforeInspection(drop, intent);
  if (refusal !== null) return all(refused(refusal));
  const decision = decide(drop);
  if ('kind' in decision) {
    return all(not(decision.otherwise?.message ?? decision.because));
  }
  const { moves, blocked, named } = decision;
  return intent.tables.map((seen, index) => {
    if (moves.some((move) => move.index === index)) {
      const blocker = blockerOfDrop(blockers[index] ?? null);
      const { stays, remark } = ofTriggers(seen, how.triggers);
      return heldFate(rulings[index], { stays: blocker?.text ?? stays, remark });
    }
    const parent = blocked.find(({ table }) => table === seen);
    if (parent !== undefined) return not(parentError(request.server, parent).message);
    const other = named.find((name) => name.index === index);
    if (other === undefined) return not('another name in the statement cannot be dropped');
    const isSilent = other.kind === 'missing' && request.statement.ifExists;
    return isSilent ? fate('nothing: there is no such table') : NAMED[other.kind];
  });
}

/** Without its views, routines and events, which are dropped with it. */
export function fatesOfSchema(
  drop: Pick<Drop, 'request' | 'facts' | 'intent' | 'rulings'> & { readonly schema: string },
  { service, triggers }: Pick<How, 'service' | 'triggers'>,
): readonly Fate[] {
  const { request, facts, schema, intent, rulings } = drop;
  const { tables } = intent;
  const all = (fate: Fate) => tables.map(() => fate);
  if (!service.protect.has('drop-database')) return all(passed(LEFT_OUT));
  const words = { tables: sentenceStart(request) };
  if (!inspect.isSameServer(request, intent, facts)) {
    const { threadId } = request.session;
    return all(refused(new UndropError('UNDROP_SESSION_NOT_FOUND', { ...words, threadId })));
  }
  const [refusal] = tables.flatMap(
    ({ table }, index) =>
      inspect.refusalByRuling(rulings[index], { ...words, table: `${schema}.${table}` }) ?? [],
  );
  if (refusal !== undefined) return all(refused(refusal));
  const parent = parentInSchema(drop, intent);
  if (parent !== null) return all(not(parent.message));
  const each = tables.map((table) => ofTriggers(table, triggers));
  const staying = each.findIndex(({ stays }) => stays !== null);
  if (staying >= 0) {
    return all(
      not(`its table ${tables[staying]?.table} cannot be moved out of it (${TRIGGERS_STAY.text})`),
    );
  }
  return each.map(({ remark }, index) => heldFate(rulings[index], { stays: null, remark }));
}

/** Why they keep the table in its schema, or what happens to them; null: nothing to report. */
function ofTriggers({ triggers }: IntentTable, rights: TriggerRights | null): HeldHow {
  if (triggers.length === 0 || rights === null) return { stays: null, remark: null };
  if (!rights.mayDrop) return { stays: TRIGGERS_STAY.text, remark: null };
  return { stays: null, remark: rights.mayMake ? null : TRIGGERS_LEFT };
}

/** The server drops it, or the hint isn't allowed; null: neither. */
function passedFate({ request, rulings }: Drop, { destroys, service }: How): Fate | null {
  if (!service.protect.has('drop-table')) return passed(LEFT_OUT);
  if (destroys) {
    if (service.allowDestroy !== 'users') return refused(notAllowed(request));
    const refusal = inspect.refusalOfDestroying(request, rulings);
    return refusal === null ? passed('hint destroy') : refused(refusal);
  }
  const isNative = rulings.length > 0 && rulings.every((ruling) => ruling.isNative);
  return isNative && !request.statement.isDoubtful ? passed(rulings[0]?.by ?? '') : null;
}

const LEFT_OUT = 'UNDROP_PROTECT or UNDROP_MODE does not protect it';

function passed(why: string): Fate {
  return fate(`dropped by the server, at once and for good (${why})`);
}

function refused({ code, message }: UndropError): Fate {
  return fate(`refused: ${code}: ${message}`);
}

function not(why: string): Fate {
  return fate(`not dropped: ${why}`);
}

const NAMED: Readonly<Record<Name['kind'], Fate>> = {
  temporary: fate('dropped at once: it is a temporary table of this session'),
  view: not('it is a view'),
  missing: not('there is no such table'),
  table: not('it is not a sequence'),
  base: not('it cannot be dropped'),
};

function fate(what: string): Fate {
  return { what, isHeld: false, stays: false };
}

interface HeldHow {
  /** Why it stays in its own schema; null: it doesn't. */
  readonly stays: string | null;
  readonly remark: string | null;
}

function heldFate(ruling: Ruling | undefined, { stays, remark }: HeldHow): Fate {
  const by = ruling?.by ?? null;
  const words = [by === null ? 'held' : `held (${by})`, stays, remark];
  const what = words.filter((one) => one !== null).join('; ');
  return { what, isHeld: true, stays: stays !== null };
}
