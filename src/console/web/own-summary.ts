/** The figures of the overview for people who see only their own tables. Pure. */
import type { Summary } from '../../ledger/overview.js';
import type { ConsoleTable } from '../dropped-tables.js';

/** Each is located by its name: half a millisecond, among any number. */
export const OWN_TABLES_MAX = 300;

/** For the newest ones. */
export function summaryOf(tables: readonly ConsoleTable[]): Summary {
  const states = new Map<string, { state: string; tables: number; bytes: number }>();
  const days = new Map<string, { day: string; tables: number; bytes: number }>();
  const hours = new Map<string, { hour: string; kind: string; drops: number }>();
  const drops = new Set<string>();
  for (const { state, bytes, expiresAt, droppedAt, how, dropId, id } of tables) {
    const ofState = states.get(state ?? '') ?? { state: state ?? '', tables: 0, bytes: 0 };
    states.set(state ?? '', ofState);
    ofState.tables++;
    ofState.bytes += bytes ?? 0;
    if (expiresAt !== null && state === 'HOLD') {
      const day = expiresAt.slice(0, 10);
      const ofDay = days.get(day) ?? { day, tables: 0, bytes: 0 };
      days.set(day, ofDay);
      ofDay.tables++;
      ofDay.bytes += bytes ?? 0;
    }
    if (droppedAt === null || drops.has(dropId ?? id)) continue;
    drops.add(dropId ?? id);
    const [hour, kind] = [`${droppedAt.slice(0, 13)}:00:00Z`, how ?? 'other'];
    const ofHour = hours.get(`${hour} ${kind}`) ?? { hour, kind, drops: 0 };
    hours.set(`${hour} ${kind}`, ofHour);
    ofHour.drops++;
  }
  return {
    states: [...states.values()],
    days: [...days.values()].sort((one, other) => (one.day < other.day ? -1 : 1)),
    hours: [...hours.values()],
    pinned: tables.filter(({ state, expiresAt }) => state === 'HOLD' && expiresAt === null).length,
    isPart: tables.length >= OWN_TABLES_MAX,
  };
}
