/** What an event on the wire of a drop is about, by the statement's own note. */
import type { TapEvent } from '../support/wire-tap.js';

export const PHASES = [
  'login',
  'look',
  'intent',
  'rename',
  'look at what hangs on it',
  'record what is taken off',
  'keys',
  'triggers',
  'relocate',
  'outcome',
] as const;

export type Phase = (typeof PHASES)[number];

const BY_NOTE: Readonly<Record<string, Phase>> = {
  kind: 'look',
  exists: 'look',
  facts: 'look',
  intent: 'intent',
  plan: 'intent',
  hold: 'rename',
  may: 'rename',
  probe: 'rename',
  rights: 'rename',
  own: 'rename',
  'wait-for-lock': 'rename',
  clean: 'rename',
  'hold-by-service': 'rename',
  'take-over': 'rename',
  release: 'rename',
  look: 'look at what hangs on it',
  read: 'look at what hangs on it',
  detach: 'record what is taken off',
  keys: 'keys',
  trigger: 'triggers',
  relocate: 'relocate',
  outcome: 'outcome',
  define: 'outcome',
};

/** Null: of the client's own, or of no drop. */
export function phaseOf({ command }: TapEvent): Phase | null {
  const text = command.toString('latin1');
  if (text === 'login') return 'login';
  const note = /\/\* undrop ([a-z-]+)/.exec(text)?.[1];
  if (note !== undefined) return BY_NOTE[note] ?? null;
  return text.includes(')undrop_') || /DROP TABLE/.test(text) ? 'look' : null;
}
