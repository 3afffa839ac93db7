/**
 * UNDROP_MODE=observe: says of a packet that goes to the server what it would have done to it in
 * the mode hold. It only looks: what goes on is the client's packet, at its time.
 */

import type { Reading } from '../../sql/reading.js';
import { isRecycleNameIn } from '../../sql/recycle-name.js';
import type { Sought } from '../../sql/trigger-scan.js';
import type { Protection } from '../../sql/verdict.js';
import { tablesOf, type Verdict } from '../../sql/verdict.js';
import type { Taken } from '../../statements/intercepted.js';
import { PreparedDrops } from '../commands/prepared-drops.js';
import { classifyPacket, type LookOptions } from './classify-packet.js';

/** What is observed, and who is told of it. */
export interface Observing {
  readonly protect: ReadonlySet<Protection>;
  tell(observed: Observed): void;
}

/** A statement that would have been held or refused. */
export interface Observed {
  readonly text: Buffer;
  /** False: it may drop something, and only the server knows. */
  readonly isClear: boolean;
  /** What it names, as far as it can be read; `schema.*` for all tables of a schema. */
  readonly tables: readonly string[];
}

/** `observing` null: nothing is looked at. */
export function* observing(
  packet: Parameters<typeof classifyPacket>[0],
  told: Observing | null,
  options: LookOptions,
): Reading<void> {
  if (told === null) return;
  const { protect, tell } = told;
  const prepared = new PreparedDrops(options.server);
  const server = { ...options.server, inRecycle: false };
  const taken = yield* classifyPacket(packet, { ...options, server, protect, prepared });
  // Of a malformed packet, or a command without a text, there is nothing to be said.
  if (taken === null || taken.refusal !== null) return;
  const { carrier, text, verdict } = taken;
  // What is undrop's own is refused in this mode, too.
  if (carrier === 'drop-database') {
    if (!isRecycleNameIn(text)) tell({ text, isClear: true, tables: [`${text}.*`] });
    return;
  }
  if (verdict === null || verdict.kind === 'guarded' || isOfUndrop(verdict)) return;
  const isClear = verdict.kind === 'drop-table' || verdict.kind === 'refused';
  tell({ text, isClear, tables: isClear ? namesOf(verdict) : [] });
}

function isOfUndrop(verdict: NonNullable<Taken['verdict']>): boolean {
  if (verdict.kind === 'drop-table') return verdict.isRecycled === true;
  return verdict.kind === 'refused' && verdict.schema !== null && isRecycleNameIn(verdict.schema);
}

/** What the gate looks for by itself, in this mode or in that of holding. */
export function soughtNow(owner: {
  readonly service: { readonly protect: ReadonlySet<Protection> };
  observing(): Observing | null;
}): Sought {
  const isNamed = (kind: Protection) =>
    owner.service.protect.has(kind) || owner.observing()?.protect.has(kind) === true;
  return {
    get truncates() {
      return isNamed('truncate');
    },
    get partitions() {
      return isNamed('drop-partition');
    },
  };
}

function namesOf(verdict: Verdict): readonly string[] {
  if (verdict.kind === 'refused' && verdict.schema !== null && verdict.tables.length === 0) {
    return [`${Buffer.from(verdict.schema)}.*`];
  }
  return tablesOf(verdict).map(({ schema, table }) =>
    (schema === null ? [table] : [schema, table]).map((part) => Buffer.from(part)).join('.'),
  );
}
