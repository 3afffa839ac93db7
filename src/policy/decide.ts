/**
 * What becomes of one table that is dropped: the first rule that fits it, the hint of whoever
 * drops it, and what is configured otherwise. Also finds rules that never decide. Pure.
 *
 * Invariant: what isn't known of a table fits no condition; a rule that refuses wins over a hint,
 * and one that might refuse, if more were known, over all that lets the table go sooner.
 */
import { foldName } from '../names/names.js';
import type { Condition, Glob, Hint, Rule } from './rules.js';

/** Milliseconds in HOLD; `pinned`: for good. */
export type HoldTime = number | 'pinned';

/** A table as the rules see it. */
export interface Subject {
  readonly schema: string;
  readonly table: string;
  /** Of the session, `name@host` by USER(), or `name@` where the host isn't known. */
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
export interface Comparing {
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
}

export interface Deciding extends Comparing {
  readonly rules: readonly Rule[];
  readonly hint: Hint | null;
  /** UNDROP_HOLD, in milliseconds. */
  readonly holdMs: number;
}

/** `destroy` is no hold time: whoever asks has done with it before. */
export function decideTable(subject: Subject, traits: Traits, deciding: Deciding): Ruling {
  const { rules, hint, holdMs } = deciding;
  const rule = firstRule(rules, subject, traits, deciding);
  const held: Ruling = {
    hold: holdMs,
    refusedBy: null,
    mayRefuse: openRules(rule, subject, deciding, traits).find(refuses)?.text ?? null,
    isNative: false,
    holdIfEmpty: null,
    holdIfLate: null,
    by: null,
  };
  if (hint !== null && (rule === null || !refuses(rule))) {
    const hold = holdOfHint(hint);
    const by = `hint ${hint.text}`;
    if (held.mayRefuse === null || hold === 'pinned' || hold >= holdMs)
      return { ...held, hold, by };
    return { ...held, by: `${by}, under a rule that could not be judged` };
  }
  if (rule === null) return held;
  const { text, action } = rule;
  const by = `rule ${text}`;
  const isSooner = timeOf(rule, holdMs) < holdMs;
  if (
    (isSooner && isUnderOpenRule(rule, subject, deciding, traits)) ||
    (action.do === 'native' && held.mayRefuse !== null)
  ) {
    return { ...held, by: `${by}, behind one that could not be judged` };
  }
  switch (action.do) {
    case 'refuse':
      return { ...held, refusedBy: text, by };
    case 'default':
      return { ...held, by };
    case 'hold':
      return { ...held, ...holdFor(rule, action.ms, holdMs), by };
    case 'now':
    case 'native': {
      // Of what the server drops nobody sees once more whether it is empty.
      const isNative = action.do === 'native' && !asksFor(rule, 'empty');
      return { ...held, ...holdFor(rule, 0, holdMs), isNative, by };
    }
  }
}

/** How long it holds; a rule that refuses holds for good. */
function timeOf({ action }: Rule, holdMs: number): number {
  switch (action.do) {
    case 'refuse':
      return Number.POSITIVE_INFINITY;
    case 'default':
      return holdMs;
    case 'hold':
      return action.ms;
    case 'now':
    case 'native':
      return 0;
  }
}

/** A rule before it that holds for longer would fit, but for what isn't known of the table. */
function isUnderOpenRule(
  rule: Rule,
  subject: Subject,
  deciding: Deciding,
  traits: Traits,
): boolean {
  const { holdMs } = deciding;
  const isLonger = (before: Rule) => timeOf(before, holdMs) > timeOf(rule, holdMs);
  return openRules(rule, subject, deciding, traits).some(isLonger);
}

/** Those before the first that fits, or all, that would fit but for what isn't known. */
function openRules(
  rule: Rule | null,
  subject: Subject,
  { rules, foldsCase }: Deciding,
  traits: Traits,
): readonly Rule[] {
  const mayFit = (before: Rule) =>
    isNamed(before, subject, { foldsCase }) &&
    before.conditions.every(
      (condition) => isTrue(condition, subject, traits) || isUnknown(condition, traits),
    );
  return rules.slice(0, rule === null ? rules.length : rules.indexOf(rule)).filter(mayFit);
}

function refuses({ action }: Rule): boolean {
  return action.do === 'refuse';
}

function isUnknown({ kind }: Condition, { bytes, ageMs, isEmpty }: Traits): boolean {
  if (kind === 'size') return bytes === null;
  if (kind === 'age') return ageMs === null;
  return kind === 'empty' && isEmpty === null;
}

function asksFor({ conditions }: Rule, kind: Condition['kind']): boolean {
  return conditions.some((condition) => condition.kind === kind);
}

/** The first rule that fits; null: none does. */
export function firstRule(
  rules: readonly Rule[],
  subject: Subject,
  traits: Traits,
  comparing: Comparing,
): Rule | null {
  const fits = (rule: Rule) =>
    isNamed(rule, subject, comparing) &&
    rule.conditions.every((condition) => isTrue(condition, subject, traits));
  return rules.find(fits) ?? null;
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

function holdOfHint({ what }: Hint): HoldTime {
  switch (what.do) {
    case 'pin':
      return 'pinned';
    case 'hold':
      return what.ms;
    case 'now':
    case 'destroy':
      return 0;
  }
}

/** A table that is held for less as it is empty may have a row by the time it is renamed. */
function holdFor(
  rule: Rule,
  ms: number,
  holdMs: number,
): Pick<Ruling, 'hold' | 'holdIfEmpty' | 'holdIfLate'> {
  const isSooner = ms < holdMs;
  const holdIfLate = isSooner && asksFor(rule, 'size') ? holdMs : null;
  return isSooner && asksFor(rule, 'empty')
    ? { hold: holdMs, holdIfEmpty: ms, holdIfLate }
    : { hold: ms, holdIfEmpty: null, holdIfLate };
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
export function isLike(name: string, { text, isExact }: Glob, foldsCase: boolean): boolean {
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

export interface NeverFits {
  readonly rule: Rule;
  /** Null: its own conditions exclude each other. */
  readonly behind: Rule | null;
}

export function rulesThatNeverFit(rules: readonly Rule[]): readonly NeverFits[] {
  return rules.flatMap((rule, index): readonly NeverFits[] => {
    if (excludesAll(rule.conditions)) return [{ rule, behind: null }];
    const behind = rules.slice(0, index).find((earlier) => covers(earlier, rule));
    return behind === undefined ? [] : [{ rule, behind }];
  });
}

function covers(earlier: Rule, later: Rule): boolean {
  const has = (one: Condition) => {
    return later.conditions.some((other) => JSON.stringify(one) === JSON.stringify(other));
  };
  return (
    fitsAllOf(earlier.schema, later.schema) &&
    fitsAllOf(earlier.table, later.table) &&
    earlier.conditions.every(has)
  );
}

/** Whether `wide` fits each name that `narrow` does; upper and lower case taken for different. */
function fitsAllOf(wide: Glob, narrow: Glob): boolean {
  const isName = narrow.isExact || !/[*?]/.test(narrow.text);
  if (wide.isExact) return isName && wide.text === narrow.text;
  // A `?` of the wide one would take a `*` of the narrow one for a letter.
  if (!isName && wide.text.includes('?')) return wide.text === narrow.text;
  return isLike(narrow.text, wide, false);
}

/** As `size<1G size>2G`; what isn't known of a table fits neither. */
function excludesAll(conditions: readonly Condition[]): boolean {
  return (['size', 'age'] as const).some((kind) => {
    const limits = (is: 'above' | 'below') =>
      conditions.flatMap((one) => (one.kind === kind && one.is === is ? [one.limit] : []));
    return Math.max(...limits('above')) >= Math.min(...limits('below'));
  });
}
