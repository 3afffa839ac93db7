/**
 * The case of names as servers fold it where lower_case_table_names isn't 0: letter by letter, by
 * utf8_general_ci. JavaScript's `toLowerCase` has a sigma of its own for the end of a word, and two
 * characters for a capital I with a dot.
 */

/** A schema's or table's name in lower case, as the server stores it. */
export function foldName(name: string): string {
  return Array.from(name, (letter) => (letter === 'İ' ? 'i' : letter.toLowerCase())).join('');
}
