/** The error registry: what a client sees of an error, and the page docs/reference/errors.md. */
import { ERRORS, type ErrorEntry, type Fault, toClientError, UndropError } from '../src/errors.js';
import { expectPage } from './support/page.js';

describe('what a client sees', () => {
  test('an error of ours is shown with its code, its text and its remedy, filled in', () => {
    const error = new UndropError('UNDROP_NAME_TAKEN', { table: 'shop.orders', id: '0195' });
    expect(toClientError(error, 'ref')).toEqual({
      errno: 1050,
      sqlState: '42S01',
      message:
        'UNDROP_NAME_TAKEN: Held table 0195 was not restored: shop.orders exists. Swap the two ' +
        '(SWAP; --swap), restore under another name (TO; --to), or move the live table.',
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

const SECTIONS: Readonly<Record<Fault, string>> = {
  ...{ client: 'For the client', operator: 'For the operator of undrop' },
  ...{ upstream: 'For the administrator of the server', us: 'For the developers of undrop' },
};

test('docs/reference/errors.md is made of the registry', () => {
  const entries: readonly (readonly [string, ErrorEntry])[] = Object.entries(ERRORS);
  const sections = Object.entries(SECTIONS).map(([fault, title]) => {
    const own = entries
      .filter(([, entry]) => entry.fault === fault)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(
        ([code, { errno, sqlState, text, remedy }]) =>
          `### ${code}\n\n${numbered(errno, sqlState)}${asText(text)}\n${remedyOf(remedy)}`,
      );
    return `## ${title}\n\n${own.join('\n')}`;
  });
  expectPage(
    'docs/reference/errors.md',
    `# Errors

<!-- generated: test/errors.test.ts -->

The errors of undrop itself, by the side that has to act; all others are the server's. A client gets the code first in the text. On a direct connection a drop destroys.
Errno and SQLSTATE are 1105/HY000 where no others are given; \`{…}\` stands for a value, and the second paragraph for the remedy.

${sections.join('\n')}`,
  );
});

function numbered(errno: number, sqlState: string): string {
  return errno === 1105 ? '' : `**${errno}/${sqlState}** `;
}

/** A remedy that is a value alone stands in the message only. */
function remedyOf(remedy: string): string {
  return /^\{\w+\}$/.test(remedy) ? '' : `\n${asText(remedy)}\n`;
}

/** Names in angle brackets and the like are no markup. */
function asText(text: string): string {
  return text.replaceAll(/`?\{(\w+)\}`?/g, '`{$1}`').replaceAll('|', '\\|');
}
