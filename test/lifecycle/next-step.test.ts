/** The table of cases of the lifecycle. UPDATE_GOLDEN=1 writes what the function says now. */
import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import {
  nextStep,
  type RemovalFacts,
  type StepSettings,
  type StepTable,
  type TableFacts,
} from '../../src/lifecycle/next-step.js';
import { PINNED_UNTIL, type TableState } from '../../src/names/names.js';

import fc from '../support/properties.js';

interface Case {
  readonly comment: string;
  readonly table: Omit<StepTable, 'due'> & { readonly due: string };
  readonly server: RemovalFacts;
  readonly settings: StepSettings;
  readonly now: string;
  step?: unknown;
}

const file = 'test/golden/next_step_cases.json';
const cases = JSON.parse(readFileSync(file, 'utf8')) as Case[];

describe('the next step of a held table', () => {
  test.each(cases)('$comment', (one) => {
    const table: StepTable = { ...one.table, due: new Date(one.table.due) };
    const step = nextStep(table, { ...one, now: new Date(one.now) });
    const plain: unknown = JSON.parse(JSON.stringify(step));
    if (process.env['UPDATE_GOLDEN'] === '1') {
      one.step = plain;
      writeFileSync(file, `${JSON.stringify(cases, null, 1)}\n`);
    }
    expect(plain).toEqual(one.step);
  });
});

describe('whatever the server and the settings', () => {
  const state = fc.constantFrom<TableState>('HOLD', 'PURGE', 'EVAC', 'DROP');
  const facts = fc.option(
    fc.record<TableFacts>({
      purgeable: fc.boolean(),
      empty: fc.boolean(),
      cachedPages: fc.option(fc.nat(3)),
      isInSharedTablespace: fc.boolean(),
      obstacles: fc.constantFrom<readonly string[]>([], ['it has the trigger t']),
    }),
  );
  const server = fc.record<RemovalFacts>({
    flavour: fc.constantFrom('mysql', 'mariadb'),
    versionId: fc.constantFrom(50624, 80022, 80023, 90704, 100528, 100600, 110806),
    adaptiveHashIndex: fc.boolean(),
  });
  const settings = fc.record<StepSettings>({
    lifecycle: fc.subarray<TableState>(['HOLD', 'PURGE', 'EVAC', 'DROP']),
    evacMs: fc.nat(10_000),
    fastDrop: fc.constantFrom('auto', 'always', 'never'),
  });
  const order: readonly TableState[] = ['HOLD', 'PURGE', 'EVAC', 'DROP'];
  const now = new Date('2026-03-01T12:00:00Z');

  test('nothing leaves HOLD before its due time, save by a lifecycle without HOLD', () => {
    fc.assert(
      fc.property(facts, server, settings, fc.nat(100_000), (known, on, given, aheadMs) => {
        const due = new Date(now.getTime() + 1 + aheadMs);
        const lifecycle: readonly TableState[] = [...given.lifecycle, 'HOLD'];
        const table = { state: 'HOLD', due, facts: known } as const;
        const step = nextStep(table, { server: on, settings: { ...given, lifecycle }, now });
        expect(step).toEqual({ kind: 'wait', until: due, because: 'held until then' });
      }),
    );
  });

  test('a pinned table stays in HOLD, whatever the lifecycle, and if limits have chosen it', () => {
    const early = fc.constantFrom({}, { early: 'too many' });
    fc.assert(
      fc.property(facts, server, settings, early, (known, on, given, chosen) => {
        const table = { state: 'HOLD', due: PINNED_UNTIL, facts: known, ...chosen } as const;
        expect(nextStep(table, { server: on, settings: given, now }).kind).toBe('wait');
      }),
    );
  });

  test('a table only moves forward, and one with an obstacle not at all', () => {
    fc.assert(
      fc.property(state, facts, server, settings, fc.boolean(), (at, known, on, given, over) => {
        const due = new Date(now.getTime() + (over ? -1 : 1));
        const step = nextStep(
          { state: at, due, facts: known },
          { server: on, settings: given, now },
        );
        if (known !== null && known.obstacles.length > 0) {
          expect(['wait', 'blocked']).toContain(step.kind);
        }
        if (known === null) expect(['wait', 'look']).toContain(step.kind);
        if (step.kind === 'move') expect(order.indexOf(step.to)).toBeGreaterThan(order.indexOf(at));
        if (step.kind === 'drop') expect(at).toBe('DROP');
        if (step.kind === 'purge') expect(at).toBe('PURGE');
      }),
    );
  });

  test('following the steps ends in a drop, whichever way', () => {
    fc.assert(
      fc.property(state, server, settings, (first, on, given) => {
        let table: StepTable = {
          state: first,
          due: now,
          facts: { purgeable: true, empty: false, cachedPages: null, obstacles: [] },
        };
        let at = now;
        for (let steps = 0; steps < 10; steps += 1) {
          const step = nextStep(table, { server: on, settings: given, now: at });
          if (step.kind === 'drop') return;
          if (step.kind === 'wait') at = step.until;
          if (step.kind === 'move') table = { ...table, state: step.to, due: step.due };
          if (step.kind === 'purge' && table.facts !== null) {
            table = { ...table, facts: { ...table.facts, empty: true } };
          }
        }
        throw new Error('the lifecycle did not end');
      }),
    );
  });
});
