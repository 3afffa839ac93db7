/** Held tables for tests. */
import type { DroppedTable } from '../../src/recycle/held-tables.js';

/** The `count`th table of a made-up morning; `name` is `schema.table`. */
export function held(count: number, name: string | null, more: Partial<DroppedTable> = {}) {
  const id = `0195a1b2c3d${count.toString(16)}7000800000000000000${count.toString(16)}`;
  const [schema = '', table = ''] = (name ?? '').split('.');
  const made: DroppedTable = {
    ...{ id, state: 'HOLD', due: new Date('2026-03-08T12:00:00Z') },
    ...{ holdSchema: '_undrop', holdName: `_vt_HOLD_${id}_20260308120000` },
    ...{ origin: name === null ? null : { schema, table }, dropId: null, how: 'DROP TABLE' },
    ...{ droppedAt: new Date(Date.UTC(2026, 2, 1, 12, 0, count)), statement: null },
    ...{ user: 'app', clientAddress: '10.0.0.1:50000', logged: true, rowLogged: true },
    ...{ program: null, lockedUntil: null },
    ...{ rowEstimate: 1000, byteEstimate: 1_600_000, ...more },
  };
  return made;
}
