/**
 * What UNDROP_PROTECT names, and whether a statement is of such a kind. Invariant: what may be any
 * of them counts for all.
 */
import { assertNever } from '../assert.js';
import { isRecycleNameIn } from './recycle-name.js';
import type { Sought } from './trigger-scan.js';
import type { DropTable, Verdict } from './verdict.js';

/** What undrop protects; a statement of a kind that is left out goes to the server as it is. */
export type Protection =
  | 'drop-table'
  | 'drop-database'
  | 'create-or-replace'
  | 'truncate'
  | 'drop-partition';

/** What is looked for where `protect` is protected. */
export function enabledKinds(protect: ReadonlySet<Protection>): Required<Sought> {
  return {
    truncates: protect.has('truncate'),
    partitions: protect.has('drop-partition'),
  };
}

/** Whether `verdict` has a part of a kind that UNDROP_PROTECT names, or that is never let go. */
export function isProtected(verdict: Verdict, protect: ReadonlySet<Protection>): boolean {
  switch (verdict.kind) {
    case 'not-ours':
      return false;
    case 'guarded':
      return true;
    case 'drop-table':
      return verdict.isRecycled === true || protect.has(kindOf(verdict));
    case 'dynamic':
    case 'unclear':
      // It may be any of them.
      return protect.size > 0;
    case 'refused':
      if (verdict.carrier === 'drop-database' || verdict.carrier === 'create-or-replace') {
        const isRecycled = verdict.schema !== null && isRecycleNameIn(verdict.schema);
        return isRecycled || protect.has(verdict.carrier);
      }
      return verdict.statements.some((piece) => isProtected(piece.verdict, protect));
    default:
      return assertNever(verdict);
  }
}

function kindOf({ statement }: DropTable): Protection {
  if (statement.partitions !== undefined) return 'drop-partition';
  return statement.empties === true ? 'truncate' : 'drop-table';
}
