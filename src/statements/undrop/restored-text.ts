/**
 * The info text of UNDROP's OK, on the restored tables. Pure.
 */
import { utcText } from '../../duration.js';
import { writtenPlainly } from '../../steps/undo-note.js';
import { formatLarger, formatRestored } from '../../undo/format.js';
import type { RestoreReport } from '../../undo/run-restore.js';

/**
 * For several tables the first and a count; for all the first that has a larger one of its name.
 */
export function restoredText(reports: readonly RestoreReport[]): string {
  const [first, ...more] = reports;
  if (first === undefined) return '';
  const also = more.length === 0 ? '' : ` And ${more.length} more.`;
  const larger = reports.find((report) => report.larger !== null)?.larger ?? null;
  return [formatRestored(first) + also, ...othersOf(first), ...wayBackTo(larger)].join(' ');
}

function othersOf({ swapped, restoredAs, others, larger }: RestoreReport): readonly string[] {
  const { schema, table } = restoredAs;
  const name = writtenPlainly([schema, table]);
  if (typeof swapped === 'string')
    return [`The replaced table is held: UNDROP TABLE ${name} SWAP.`];
  const [newest] = others;
  if (newest === undefined || (others.length === 1 && larger !== null)) return [];
  const dropped = newest.droppedAt === null ? '' : ` dropped ${utcText(newest.droppedAt)} UTC`;
  return others.length === 1
    ? [`Another is held,${dropped}.`]
    : [`${others.length} others are held, the newest${dropped}.`];
}

function wayBackTo(larger: RestoreReport['larger']): readonly string[] {
  if (larger === null) return [];
  return [`${formatLarger(larger)}: UNDROP TABLE '${larger.table.id}' SWAP`];
}
