/**
 * The version rule: which states between HOLD and DROP a server needs. Pure. A DROP scans the
 * buffer pool before MySQL 8.0.23 and MariaDB 10.6, so there a table is emptied and its pages are
 * waited for. Later servers drop at once, but where the adaptive hash index is on they still stall
 * while they clear it (MySQL bug 113312), so there EVAC stays, without a purge.
 */
import { assertNever } from '../assert.js';
import type { FastDrop } from './settings.js';

/** What the rule looks at. */
export interface RemovalFacts {
  readonly flavour: 'mysql' | 'mariadb';
  /** 90704 for 9.7.4, 101119 for 10.11.19. */
  readonly versionId: number;
  readonly adaptiveHashIndex: boolean;
}

/** The states that this server needs; whether they happen is also up to the lifecycle. */
export interface RemovalWay {
  readonly purge: boolean;
  readonly evac: boolean;
}

const CHEAP_DROP_SINCE = { mysql: 80023, mariadb: 100600 } as const;

/** The way of a table out of HOLD on this server. */
export function removalWay(facts: RemovalFacts, fastDrop: FastDrop): RemovalWay {
  switch (fastDrop) {
    case 'always':
      return { purge: false, evac: false };
    case 'never':
      return { purge: true, evac: true };
    case 'auto':
      return facts.versionId < CHEAP_DROP_SINCE[facts.flavour]
        ? { purge: true, evac: true }
        : { purge: false, evac: facts.adaptiveHashIndex };
    default:
      return assertNever(fastDrop);
  }
}
