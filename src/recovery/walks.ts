/**
 * Where the rounds of recovery are in the ledger: one takes so many rows of a kind in hand, and the
 * next goes on behind them. What can't be helped, round after round, keeps nothing from its turn.
 * In memory only: a walk that is lost begins again.
 */
import type { Walk } from '../ledger/walk.js';

/** One for each kind of rows. */
export interface Walks {
  readonly schemas: Walk;
  readonly intents: Walk;
  readonly debts: Walk;
  readonly changes: Walk;
}

export function newWalks(): Walks {
  const walk = (): Walk => ({ behind: null });
  return { schemas: walk(), intents: walk(), debts: walk(), changes: walk() };
}
