/** The info text of an UNDROP TABLE, on the restored tables, and its warning. Pure. */
import { utcText } from '../../duration.js';
import { writtenName } from '../../names/names.js';
import { problemsOf } from '../../restore/make-whole.js';
import { formatLarger, formatRestored } from '../../restore/print-report.js';
import type { RestoreReport } from '../../restore/restore-table.js';
import { writtenPlainly } from '../../steps/undo-note.js';

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

/** The parts that were not restored as they were; null: none. */
export function noteOf(restored: readonly RestoreReport[]): string | null {
  const said = restored.flatMap((report) => {
    const { recorded, restoredAs, brokenKeys } = report;
    const broken = brokenKeys.map(({ name, isSeen }) => {
      const what = isSeen ? 'rows break' : 'did not check whether rows break';
      return `${what} foreign key ${name}.`;
    });
    const others = report.foreignKeys.flatMap(({ name, parent, oldParent }) =>
      oldParent === null ? [] : [`foreign key ${name} refers to another ${parent}; ${oldParent}.`],
    );
    const untold = recorded === false ? ['the ledger could not be updated.'] : [];
    return [...problemsOf(report.id, report), ...others, ...broken, ...untold].map(
      (one) => `${writtenName(restoredAs)}: ${one}`,
    );
  });
  return said.length === 0 ? null : said.join(' ');
}
