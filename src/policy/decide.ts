/**
 * Decides about one dropped table: by the first rule that matches, the hint, and the settings.
 * Pure.
 *
 * Invariant: an unknown trait of a table matches no condition; a rule that refuses wins over a
 * hint, and a rule that might refuse, if more were known, wins over everything that shortens the
 * hold.
 */
import { foldName } from '../names/names.js';
import type { Claims } from '../sql/comment-tags.js';
import { hasPattern } from '../wildcards.js';
import type { Condition, Glob, Hint, HoldTime, Rule } from './rules.js';

/** A table as the rules see it. */
export interface Subject {
  readonly schema: string;
  readonly table: string;
  /**
   * The user of the session: the name of CURRENT_USER() and the host of USER(), or `name@` if the
   * host isn't known.
   */
  readonly account: string;
  /** The client's own words; default: none. */
  readonly claims?: Claims;
}

/** Properties that have to be read from the server; null: not known. */
export interface Traits {
  readonly bytes: number | null;
  readonly ageMs: number | null;
  readonly isEmpty: boolean | null;
}

export const NO_TRAITS: Traits = { bytes: null, ageMs: null, isEmpty: null };

/** How names compare. */
interface Comparing {
  /** lower_case_table_names is not 0. */
  readonly foldsCase: boolean;
}

/** The decision about one table, and its source. */
export interface Ruling {
  readonly hold: HoldTime;
  /** The rule that refuses the drop. */
  readonly refusedBy: string | null;
  /** An operator may allow what that rule refuses. */
  readonly asks: boolean;
  /** Nobody ends the hold sooner than so long after the drop; null: operators may. */
  readonly lockMs: number | null;
  /**
   * The first rule that may refuse it, or lock it; too little is known of the table to evaluate the
   * rule.
   */
  readonly mayRefuse: string | null;
  /** The server itself drops the table. */
  readonly isNative: boolean;
  /** The hold if the table is still empty once it can't be written to; null: as `hold`. */
  readonly holdIfEmpty: number | null;
  /** The hold if the RENAME had to wait, because the size is that of before; null: as `hold`. */
  readonly holdIfLate: number | null;
  /** `rule app.*: now`, `hint pin`; null: only UNDROP_HOLD. */
  readonly by: string | null;
  /** A description of its use within UNDROP_REQUIRE_IDLE. */
  readonly inUse?: string | null;
}

/** The rules, and how names are compared with theirs. */
interface RuleSet extends Comparing {
  readonly rules: readonly Rule[];
}

export interface Deciding extends RuleSet {
  readonly hint: Hint | null;
  /** UNDROP_HOLD, in milliseconds. */
  readonly holdMs: number;
}

/** The caller has handled `destroy` before; it isn't a hold time. */
export function decideTable(subject: Subject, traits: Traits, deciding: Deciding): Ruling {
  const { rules, hint, holdMs } = deciding;
  const rule = firstRule(deciding, subject, traits);
  const earlier = rule === null ? rules : rules.slice(0, rules.indexOf(rule));
  const open = openRules({ ...deciding, rules: earlier }, subject, traits);
  const mayRefuse = open.find(bars)?.text ?? null;
  const held: Ruling = {
    hold: holdMs,
    refusedBy: null,
    asks: false,
    lockMs: rule === null ? null : lockOf(rule),
    mayRefuse,
    isNative: false,
    holdIfEmpty: null,
    holdIfLate: null,
    by: null,
  };
  if (hint !== null && (rule === null || !refuses(rule))) {
    const { text } = hint;
    const hold = hint.hold === 'pinned' ? hint.hold : Math.max(hint.hold, held.lockMs ?? 0);
    const by = `hint ${text}`;
    if (mayRefuse === null || hold === 'pinned' || hold >= holdMs) return { ...held, hold, by };
    return { ...held, by: `${by}, not applied, because a rule could not be evaluated` };
  }
  if (rule === null) return held;
  const { text, action, conditions } = rule;
  const by = `rule ${text}`;
  if (refuses(rule)) {
    const asks = action.do === 'ask';
    return { ...held, hold: (asks && hint?.hold) || holdMs, refusedBy: text, asks, by };
  }
  const ms = timeOf(rule, holdMs);
  const isSooner = ms < holdMs;
  // An earlier rule that holds for longer might match, but depends on an unknown trait.
  const isUnderOpen = isSooner && open.some((before) => timeOf(before, holdMs) > ms);
  const isNative = action.do === 'native';
  if (isUnderOpen || (isNative && mayRefuse !== null)) {
    return { ...held, by: `${by}, not applied, because a rule before it could not be evaluated` };
  }
  const has = (kind: Condition['kind']) => conditions.some((one) => one.kind === kind);
  // A table that is held for less because it is empty may have a row when it is renamed.
  const isByRows = isSooner && has('empty');
  return {
    ...held,
    hold: isByRows ? holdMs : ms,
    // Emptiness isn't checked again if the server itself drops the table.
    isNative: isNative && !has('empty'),
    holdIfEmpty: isByRows ? ms : null,
    holdIfLate: isSooner && has('size') ? holdMs : null,
    by,
  };
}

/** The hold of a rule; a rule that refuses counts as forever. */
function timeOf({ action }: Rule, holdMs: number): number {
  if (action.do === 'hold') return action.ms ?? holdMs;
  return action.do === 'native' ? 0 : Number.POSITIVE_INFINITY;
}

function lockOf({ action }: Rule): number | null {
  return action.do === 'hold' && action.locks === true ? action.ms : null;
}

/** It refuses, asks or locks: nothing that would destroy the table passes. */
export function bars(rule: Rule): boolean {
  return refuses(rule) || lockOf(rule) !== null;
}

/** Whether such a rule may be about the table, whatever else is known of it. */
export function mayBar(
  rules: readonly Rule[],
  name: Pick<Subject, 'schema' | 'table'>,
  comparing: Comparing,
): boolean {
  return rules.some((rule) => bars(rule) && isNamed(rule, name, comparing));
}

/** The rules that no known trait of the table contradicts. */
function openRules(set: RuleSet, subject: Subject, traits: Traits): readonly Rule[] {
  return set.rules.filter(
    (rule) =>
      isNamed(rule, subject, set) &&
      rule.conditions.every((condition) => isTrue(condition, subject, traits) !== false),
  );
}

function refuses({ action }: Rule): boolean {
  return action.do === 'refuse' || action.do === 'ask';
}

/** The first rule that matches; null: none. */
export function firstRule(set: RuleSet, subject: Subject, traits: Traits): Rule | null {
  const fits = ({ conditions }: Rule) =>
    conditions.every((condition) => isTrue(condition, subject, traits) === true);
  return openRules(set, subject, traits).find(fits) ?? null;
}

/** The traits that are needed to find the first rule that matches. */
export function traitsAsked(
  rules: readonly Rule[],
  subject: Subject,
  comparing: Comparing,
): { readonly facts: boolean; readonly empty: boolean } {
  const asked = { facts: false, empty: false };
  for (const { conditions } of openRules({ rules, ...comparing }, subject, NO_TRAITS)) {
    const open = conditions.filter(({ kind }) => !KNOWN_AT_ONCE.has(kind));
    if (open.length === 0) break;
    asked.facts ||= open.some(({ kind }) => kind !== 'empty');
    asked.empty ||= open.some(({ kind }) => kind === 'empty');
  }
  return asked;
}

const KNOWN_AT_ONCE: ReadonlySet<Condition['kind']> = new Set(['user', 'program', 'tag']);

/**
 * Whether the server itself might drop the table, whatever its traits are: by a rule, or where an
 * operator allows it.
 */
export function mayBeNative(
  rules: readonly Rule[],
  subject: Subject,
  comparing: Comparing,
): boolean {
  const mayPass = ({ action }: Rule) => action.do === 'native' || action.do === 'ask';
  return rules.some((rule) => mayPass(rule) && isNamed(rule, subject, comparing));
}

function isNamed(
  rule: Rule,
  { schema, table }: Pick<Subject, 'schema' | 'table'>,
  { foldsCase }: Comparing,
): boolean {
  return isLike(schema, rule.schema, foldsCase) && isLike(table, rule.table, foldsCase);
}

/** Null: too little is known of the table. */
function isTrue(
  condition: Condition,
  { account, claims }: Subject,
  traits: Traits,
): boolean | null {
  switch (condition.kind) {
    case 'user': {
      const at = account.lastIndexOf('@');
      const name = at < 0 ? account : account.slice(0, at);
      if (!isLike(name, condition.name, false)) return false;
      // Hosts are DNS names, or addresses.
      return (
        condition.host === null ||
        (at >= 0 && at < account.length - 1 && isLike(account.slice(at + 1), condition.host, true))
      );
    }
    case 'size':
      return isBeyond(traits.bytes, condition);
    case 'age':
      return isBeyond(traits.ageMs, condition);
    case 'empty':
      return traits.isEmpty;
    case 'program':
      return isLike(claims?.program ?? '', condition.name, true);
    case 'tag':
      return Object.entries(claims?.tags ?? {}).some(([key, found]) => {
        const { name, value } = condition;
        return isLike(key, name, true) && (value === null || isLike(found, value, true));
      });
  }
}

function isBeyond(
  value: number | null,
  { is, limit }: { readonly is: 'above' | 'below'; readonly limit: number },
): boolean | null {
  if (value === null) return null;
  return is === 'above' ? value > limit : value < limit;
}

function isLike(name: string, { text, isExact }: Glob, foldsCase: boolean): boolean {
  const [value, glob] = foldsCase ? [foldName(name), foldName(text)] : [name, text];
  return isExact ? value === glob : hasPattern(value, glob);
}
