/** Templates escape all that is put into them, and no other file makes HTML of a text. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { html } from '../../src/console/web/html.js';
import { listFiles, readSource } from '../support/source-file.js';

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
  expect(users).toEqual(['src/console/web/html.ts']);
});
