/**
 * `parentsFirst` orders tables so that each comes after its parents, as far as that is possible: a
 * key is then added to a table whose parent exists. Pure.
 */
import { foldName } from '../names/names.js';
import type { QualifiedTable } from './list.js';

interface KeyedItem {
  /** Null: no key leads to it. */
  readonly name: QualifiedTable | null;
  /** The tables that its foreign keys lead to. */
  readonly parents: readonly QualifiedTable[];
}

/** Independent items keep their order; a cycle begins where it is first met. */
export function parentsFirst<T extends KeyedItem>(items: readonly T[]): readonly T[] {
  const byName = new Map(items.map((item) => [item.name && keyOf(item.name), item]));
  const met = new Set<T>();
  const ordered: T[] = [];
  const visit = (item: T): void => {
    if (met.has(item)) return;
    met.add(item);
    for (const parent of item.parents) {
      const found = byName.get(keyOf(parent));
      if (found !== undefined) visit(found);
    }
    ordered.push(item);
  };
  for (const item of items) visit(item);
  return ordered;
}

function keyOf({ schema, table }: QualifiedTable): string {
  return JSON.stringify([foldName(schema), foldName(table)]);
}
