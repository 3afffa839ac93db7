/**
 * Moves held tables from their own schema into the recycle schema: one RENAME, tried for a moment
 * only. What can't be moved stays where it is, held, and becomes a debt. May run twice.
 */
import type { ServicePool } from '../service/pools.js';

export interface RelocateTable {
  readonly id: string;
  readonly fromSchema: string;
  readonly holdName: string;
  /** Its own name, under which a view that was renamed by mistake is put back. */
  readonly table: string;
}

export type Relocation =
  | { readonly id: string; readonly outcome: 'moved'; readonly holdSchema: string }
  /** It is a view: it has its own name again, and nothing is held. */
  | { readonly id: string; readonly outcome: 'put-back'; readonly failure: string }
  /** Held under its hold name in its own schema. */
  | {
      readonly id: string;
      readonly outcome: 'failed';
      readonly errno: number | null;
      readonly failure: string;
    };

/** One `Relocation` for each table, in order. Never rejects for what the server answers. */
export function relocate(
  _pool: ServicePool,
  _tables: readonly RelocateTable[],
  _options: { readonly logged: boolean },
): Promise<readonly Relocation[]> {
  throw new Error('not built yet');
}
