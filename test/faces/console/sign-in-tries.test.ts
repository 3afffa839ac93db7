/** How many tries to sign in reach the server. */

import fc from 'fast-check';
import { SignInTries } from '../../../src/faces/console/gate.js';
import { html } from '../../../src/faces/console/web/html.js';
import { listFiles, readSource } from '../../support/source-file.js';

function opened() {
  const clock = { ms: 0 };
  const tries = new SignInTries(() => clock.ms);
  /** How many of `count` tries, one after the other, reach a server that refuses them. */
  const failing = async (count: number, address: string, account: string) => {
    let begun = 0;
    for (let nr = 0; nr < count; nr++) {
      const one = await tries.begin(address, account);
      one?.end('refused');
      if (one !== null) begun++;
    }
    return begun;
  };
  return { clock, tries, failing };
}

test('five of an account from an address, twenty from an address, in a minute', async () => {
  const { clock, failing } = opened();
  expect(await failing(1_000, '10.0.0.1', 'root')).toBe(5);
  expect(await failing(5, '10.0.0.2', 'root')).toBe(5);
  const others: number[] = [];
  for (let nr = 0; nr < 6; nr++) others.push(await failing(5, '10.0.0.1', `user${nr}`));
  expect(others).toEqual([5, 5, 5, 0, 0, 0]);
  clock.ms += 59_999;
  expect(await failing(1, '10.0.0.1', 'root')).toBe(0);
  clock.ms += 1;
  expect(await failing(9, '10.0.0.1', 'root')).toBe(5);
});

test('who was let in from an address before is not kept out by what others do there', async () => {
  const { tries, failing } = opened();
  (await tries.begin('10.0.0.1', 'dba'))?.end('let in');
  for (let nr = 0; nr < 6; nr++) await failing(5, '10.0.0.1', `user${nr}`);
  expect(await failing(1, '10.0.0.1', 'app')).toBe(0);
  expect(await failing(9, '10.0.0.1', 'dba')).toBe(5);
});

test('what the server did not refuse counts for nothing', async () => {
  const { tries, failing } = opened();
  expect(await failing(4, '10.0.0.1', 'app')).toBe(4);
  for (let nr = 0; nr < 100; nr++) (await tries.begin('10.0.0.1', 'app'))?.end('unknown');
  expect(await failing(9, '10.0.0.1', 'app')).toBe(1);
});

test('many at once wait for the outcome of the first, whatever it is', async () => {
  const { tries } = opened();
  let begun = 0;
  const signIn = async (outcome: 'refused' | 'unknown') => {
    const one = await tries.begin('10.0.0.1', 'app');
    if (one === null) return false;
    begun++;
    await new Promise((resolve) => setImmediate(resolve));
    one.end(outcome);
    return true;
  };
  const all = (outcome: 'refused' | 'unknown') =>
    Promise.all(Array.from({ length: 50 }, () => signIn(outcome)));
  // Five are under way, and 24 of the address wait; others have the places that are left.
  expect((await all('unknown')).filter((did) => did)).toHaveLength(29);
  expect(begun).toBe(29);
  expect((await all('refused')).filter((did) => did)).toHaveLength(5);
});

test('an IPv6 network counts as one address, and an IPv4 one in its IPv6 form as itself', async () => {
  const { failing } = opened();
  expect(await failing(5, '2001:db8:0:1::7', 'app')).toBe(5);
  expect(await failing(5, '2001:db8:0:1:9::8', 'app')).toBe(0);
  expect(await failing(5, '2001:db8:0:2::7', 'app')).toBe(5);
  expect(await failing(5, '2001:db9::1', 'app')).toBe(5);
  expect(await failing(5, '2001:db9::2', 'app')).toBe(0);
  expect(await failing(5, '::ffff:10.0.0.1', 'app')).toBe(5);
  expect(await failing(5, '10.0.0.1', 'app')).toBe(0);
});

test('very many addresses are forgotten, the oldest first', async () => {
  const { failing } = opened();
  for (let nr = 0; nr <= 10_000; nr++) await failing(5, `10.0.${nr >> 8}.${nr & 255}`, 'app');
  expect(await failing(5, '10.0.39.16', 'app')).toBe(0);
  expect(await failing(5, '10.0.0.0', 'app')).toBe(5);
});

// ── html ─────────────────────────────────────────────────────────────────────────────────────────
// Templates escape all that is put into them, and no other file makes HTML of a text.

describe('a template', () => {
  test('escapes texts, in attributes too', () => {
    expect(String(html`<a title="${`"'><b>&`}">${'<img>'}</a>`)).toBe(
      '<a title="&quot;&#39;&gt;&lt;b&gt;&amp;">&lt;img&gt;</a>',
    );
  });

  test('takes templates, lists of them, numbers, and nothing', () => {
    const items = ['a', '<b>'].map((text) => html`<li>${text}</li>`);
    expect(String(html`<ul>${items}</ul>${null}${false}${0}${['x', '<']}`)).toBe(
      '<ul><li>a</li><li>&lt;b&gt;</li></ul>0x&lt;',
    );
  });

  test('no text leaves its place', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const page = String(html`<p title="${text}">${text}</p>`);
        expect(page.split(/[<>"]/)).toHaveLength(7);
      }),
    );
  });
});

test('hono/html, which has a way around escaping, is behind one file', () => {
  const users = listFiles('src', ['.ts']).filter((path) =>
    readSource(path).imports.some(({ specifier }) => /^hono\/(html|jsx|utils)/.test(specifier)),
  );
  expect(users).toEqual(['src/faces/console/web/html.ts']);
});
