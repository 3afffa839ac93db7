/**
 * Rules that decide nothing, as an earlier one fits all that they do: the first that fits decides.
 * Pure. Finds what is plain to see, not all; what it finds never fits, on any server.
 */
import { isLike } from './decide.js';
import type { Condition, Glob, Rule } from './rules.js';

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
