/** The error registry: what a client sees of an error, and the page docs/errors.md. */
import { describe, expect, test } from '@jest/globals';
import { ERRORS, type ErrorEntry, type Fault, toClientError, UndropError } from '../src/errors.js';
import { expectPage } from './support/page.js';

describe('what a client sees', () => {
  test('an error of ours is shown with its code, its text and its remedy, filled in', () => {
    const error = new UndropError('UNDROP_NAME_TAKEN', { table: 'shop.orders', id: '0195' });
    expect(toClientError(error, 'ref')).toEqual({
      errno: 1050,
      sqlState: '42S01',
      message:
        'UNDROP_NAME_TAKEN: Held table 0195 was not restored: shop.orders exists. Restore under ' +
        'another name (--to; TO in SQL), swap the two (SWAP in SQL), or move the live table out of ' +
        'the way first.',
    });
  });

  test.each([
    ['a driver’s error', new Error('ER_SOMETHING: password secret for 10.0.0.7')],
    ['a thrown text', 'secret'],
    ['nothing at all', undefined],
  ])('anything else is a reference to the log: %s', (_name, thrown) => {
    const seen = toClientError(thrown, 'a1b2c3');
    expect(seen.errno).toBe(1105);
    expect(seen.message).toMatch(/^UNDROP_INTERNAL: .*\(reference a1b2c3\)/);
    expect(seen.message).not.toContain('secret');
  });

  test('the cause of an error is for the log alone', () => {
    const error = new UndropError('UNDROP_BAD_NAME', { name: 'x' }, new Error('secret'));
    expect(error.cause).toBeInstanceOf(Error);
    expect(toClientError(error, 'ref').message).not.toContain('secret');
  });

  test('a value that looks like a placeholder is not filled again', () => {
    const error = new UndropError('UNDROP_NAME_TAKEN', { id: '{table}', table: 'b' });
    expect(error.message).toContain('Held table {table} was not restored');
  });
});

const ACTORS: Readonly<Record<Fault, string>> = {
  client: 'the client',
  upstream: 'the administrator of the server',
  operator: 'the operator of undrop',
  us: 'the developers of undrop',
};

test('docs/errors.md is made of the registry', () => {
  const entries: readonly (readonly [string, ErrorEntry])[] = Object.entries(ERRORS);
  const sections = entries
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(
      ([code, { errno, sqlState, fault, text, remedy }]) =>
        `## ${code}\n\n` +
        `\`ERROR ${errno} (${sqlState})\` · for ${ACTORS[fault]}\n\n` +
        `${asText(text)}\n\n**What to do.** ${asText(remedy)}\n`,
    );
  expectPage(
    'docs/errors.md',
    '# Errors\n\n' +
      'The errors of undrop itself. All other errors that a client gets are those of the server,\n' +
      'unchanged. A client sees the code at the start of the text; `{…}` stands for a value.\n' +
      'Generated from `src/client-errors.ts` and `src/operation-errors.ts` by `UPDATE_GOLDEN=1 npm test -- errors`.\n\n' +
      sections.join('\n'),
  );
});

/** Names in angle brackets and the like are no markup. */
function asText(text: string): string {
  return text.replaceAll(/`?\{(\w+)\}`?/g, '`{$1}`').replaceAll('|', '\\|');
}
