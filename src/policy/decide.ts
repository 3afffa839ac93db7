/**
 * What becomes of one table that is dropped: the first rule that fits it, the hint of whoever
 * drops it, and what is configured otherwise. Pure.
 *
 * Invariant: what isn't known of a table fits no condition; a rule that refuses wins over a hint,
 * and one that might refuse, if more were known, over all that lets the table go sooner.
 */
import { foldName } from '../names/names.js';
import type { Condition, Glob, Hint, HoldTime, Rule } from './rules.js';

export type { HoldTime } from './rules.js';

/** A table as the rules see it. */
export interface Subject {
  readonly schema: string;
  readonly table: string;
  /** The user of the session, `name@host` by USER(), or `name@` if the host isn't known. */
  readonly account: string;
}

/** What has to be asked for; null: not known. */
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

/** What is done with one table, and who says so. */
export interface Ruling {
  readonly hold: HoldTime;
  /** The rule that refuses the drop. */
  readonly refusedBy: string | null;
  /** The first rule that would refuse it, perhaps: for that too little is known of the table. */
  readonly mayRefuse: string | null;
  /** The server itself is to drop it. */
  readonly isNative: boolean;
  /** How long, if it is still empty when nobody can write to it any more; null: as `hold`. */
  readonly holdIfEmpty: number | null;
  /** How long, if its RENAME had to wait: its size is that of before; null: as `hold`. */
  readonly holdIfLate: number | null;
  /** `rule app.*: now`, `hint pin`; null: nothing but UNDROP_HOLD. */
  readonly by: string | null;
  /** How it was seen in use within the time of UNDROP_REQUIRE_IDLE, in words. */
  readonly inUse?: string | null;
}

/** The rules, and how names are compared with theirs. */
interface RuleSet extends Comparing {
  readonly rules: readonly Rule[];
}

interface Deciding extends RuleSet {
  readonly hint: Hint | null;
  /** UNDROP_HOLD, in milliseconds. */
  readonly holdMs: number;
}

/** `destroy` is no hold time: whoever asks has done with it before. */
export function decideTable(subject: Subject, traits: Traits, deciding: Deciding): Ruling {
  const { rules, hint, holdMs } = deciding;
  const rule = firstRule(deciding, subject, traits);
  const earlier = rule === null ? rules : rules.slice(0, rules.indexOf(rule));
  const open = openRules({ ...deciding, rules: earlier }, subject, traits);
  const mayRefuse = open.find(refuses)?.text ?? null;
  const held: Ruling = {
    hold: holdMs,
    refusedBy: null,
    mayRefuse,
    isNative: false,
    holdIfEmpty: null,
    holdIfLate: null,
    by: null,
  };
  if (hint !== null && (rule === null || !refuses(rule))) {
    const { hold, text } = hint;
    const by = `hint ${text}`;
    if (mayRefuse === null || hold === 'pinned' || hold >= holdMs) return { ...held, hold, by };
    return { ...held, by: `${by}, under a rule that could not be evaluated` };
  }
  if (rule === null) return held;
  const { text, action, conditions } = rule;
  const by = `rule ${text}`;
  if (refuses(rule)) return { ...held, refusedBy: text, by };
  const ms = timeOf(rule, holdMs);
  const isSooner = ms < holdMs;
  // A rule before it that holds for longer would fit, but for what isn't known of the table.
  const isUnderOpen = isSooner && open.some((before) => timeOf(before, holdMs) > ms);
  const isNative = action.do === 'native';
  if (isUnderOpen || (isNative && mayRefuse !== null)) {
    return { ...held, by: `${by}, after one that could not be evaluated` };
  }
  const asksFor = (kind: Condition['kind']) => conditions.some((one) => one.kind === kind);
  // A table that is held for less because it is empty may have a row by the time it is renamed.
  const isByRows = isSooner && asksFor('empty');
  return {
    ...held,
    hold: isByRows ? holdMs : ms,
    // Nobody checks again whether a table is empty that the server itself drops.
    isNative: isNative && !asksFor('empty'),
    holdIfEmpty: isByRows ? ms : null,
    holdIfLate: isSooner && asksFor('size') ? holdMs : null,
    by,
  };
}

/** How long it holds; a rule that refuses holds for good. */
function timeOf({ action }: Rule, holdMs: number): number {
  if (action.do === 'hold') return action.ms ?? holdMs;
  return action.do === 'refuse' ? Number.POSITIVE_INFINITY : 0;
}

/** The rules that no known trait of the table contradicts. */
function openRules(set: RuleSet, subject: Subject, traits: Traits): readonly Rule[] {
  return set.rules.filter(
    (rule) =>
      isNamed(rule, subject, set) &&
      rule.conditions.every(
        (condition) => isTrue(condition, subject, traits) || isUnknown(condition, traits),
      ),
  );
}

function refuses({ action }: Rule): boolean {
  return action.do === 'refuse';
}

function isUnknown({ kind }: Condition, { bytes, ageMs, isEmpty }: Traits): boolean {
  if (kind === 'size') return bytes === null;
  if (kind === 'age') return ageMs === null;
  return kind === 'empty' && isEmpty === null;
}

/** The first rule that fits; null: none does. */
export function firstRule(set: RuleSet, subject: Subject, traits: Traits): Rule | null {
  const fits = (rule: Rule) =>
    isNamed(rule, subject, set) &&
    rule.conditions.every((condition) => isTrue(condition, subject, traits));
  return set.rules.find(fits) ?? null;
}

/** What has to be known before it can be said which rule is the first. */
export function traitsAsked(
  rules: readonly Rule[],
  subject: Subject,
  comparing: Comparing,
): { readonly facts: boolean; readonly empty: boolean } {
  const asked = { facts: false, empty: false };
  for (const rule of rules) {
    const mayFit =
      isNamed(rule, subject, comparing) &&
      rule.conditions.every(
        (condition) => condition.kind !== 'user' || isTrue(condition, subject, NO_TRAITS),
      );
    if (!mayFit) continue;
    const open = rule.conditions.filter(({ kind }) => kind !== 'user');
    if (open.length === 0) break;
    asked.facts ||= open.some(({ kind }) => kind !== 'empty');
    asked.empty ||= open.some(({ kind }) => kind === 'empty');
  }
  return asked;
}

/** Whether a table could be dropped by the server itself, whatever else is found of it. */
export function mayBeNative(
  rules: readonly Rule[],
  subject: Subject,
  comparing: Comparing,
): boolean {
  return rules.some((rule) => rule.action.do === 'native' && isNamed(rule, subject, comparing));
}

/** Whether it matters from where somebody has logged in. */
export function asksForHosts(rules: readonly Rule[]): boolean {
  return rules.some(({ conditions }) =>
    conditions.some((condition) => condition.kind === 'user' && condition.host !== null),
  );
}

function isNamed(rule: Rule, { schema, table }: Subject, { foldsCase }: Comparing): boolean {
  return isLike(schema, rule.schema, foldsCase) && isLike(table, rule.table, foldsCase);
}

function isTrue(condition: Condition, { account }: Subject, traits: Traits): boolean {
  switch (condition.kind) {
    case 'user': {
      const at = account.lastIndexOf('@');
      const name = at < 0 ? account : account.slice(0, at);
      if (!isLike(name, condition.name, false)) return false;
      // Hosts are names of DNS, or addresses.
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
      return traits.isEmpty === true;
  }
}

function isBeyond(
  value: number | null,
  { is, limit }: { readonly is: 'above' | 'below'; readonly limit: number },
): boolean {
  if (value === null) return false;
  return is === 'above' ? value > limit : value < limit;
}

/** Steps back to the last `*` alone, so that it takes no longer than the lengths multiplied. */
function isLike(name: string, { text, isExact }: Glob, foldsCase: boolean): boolean {
  const [value, glob] = foldsCase ? [foldName(name), foldName(text)] : [name, text];
  if (isExact) return value === glob;
  const [letters, wanted] = [Array.from(value), Array.from(glob)];
  let [at, next, starAt, resumeAt] = [0, 0, -1, 0];
  while (at < letters.length) {
    if (wanted[next] === '*') {
      [starAt, resumeAt] = [next, at];
      next++;
    } else if (wanted[next] === '?' || wanted[next] === letters[at]) {
      at++;
      next++;
    } else if (starAt >= 0) {
      resumeAt++;
      [at, next] = [resumeAt, starAt + 1];
    } else return false;
  }
  return wanted.slice(next).every((letter) => letter === '*');
}
