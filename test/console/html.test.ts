/** Templates escape all that is put into them. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { html } from '../../src/console/web/html.js';

describe('a template', () => {
  test('escapes texts, in attributes too', () => {
    expect(html`<a title="${`"'><b>&`}">${'<img>'}</a>`.text).toBe(
      '<a title="&quot;&#39;&gt;&lt;b&gt;&amp;">&lt;img&gt;</a>',
    );
  });

  test('takes templates, lists of them, numbers, and nothing', () => {
    const items = ['a', '<b>'].map((text) => html`<li>${text}</li>`);
    expect(html`<ul>${items}</ul>${null}${false}${0}${['x', '<']}`.text).toBe(
      '<ul><li>a</li><li>&lt;b&gt;</li></ul>0x&lt;',
    );
  });

  test('no text leaves its place', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const { text: page } = html`<p title="${text}">${text}</p>`;
        expect(page.split(/[<>"]/)).toHaveLength(7);
      }),
    );
  });
});
