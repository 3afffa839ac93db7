/**
 * Random families of two tables, a parent and its child, whose names and those of their keys,
 * CHECKs and columns are long, odd, or begin with each other, and which may have had other names
 * before. Pure.
 */
import type { Dice } from './dice.js';

export interface Family {
  /** Makes both, each with three rows; a server may refuse some of them. */
  readonly texts: readonly string[];
  readonly parent: string;
  readonly child: string;
  /** Of the parent. */
  readonly id: string;
}

/** In names of tables each of the last ones is five characters of a file's name. */
const LETTERS = ['a', 'b', 'Z', '0', '_', 'é', '日', '-', ' ', '.', '`', "'", '"', '\\', '\n', '%'];
const NAME_MAX = 64;
/** A file's name has 255 characters at most, of which InnoDB and partitions take some. */
const FILE_NAME_MAX = 200;
const ACTIONS = ['', 'CASCADE', 'SET NULL', 'RESTRICT', 'NO ACTION'];

export function quoted(name: string): string {
  return `\`${name.replaceAll('`', '``')}\``;
}

export function randomFamily(dice: Dice, number: number): Family {
  const [parent, child] = [tableName(dice, `p${number}`), tableName(dice, `c${number}`)];
  const [id, column, other] = [oddName(dice, 'id'), oddName(dice, 'k'), oddName(dice, 'n')];
  const [first, last] = [laterNames(dice, parent), laterNames(dice, child)];
  const keys = Array.from({ length: 1 + dice.below(3) }, (_, index) => {
    const name = constraintName(dice, last.first, '_ibfk_', index);
    const parts = [name, `FOREIGN KEY (${quoted(index === 2 ? other : column)})`];
    parts.push(`REFERENCES ${quoted(first.first)} (${quoted(id)})`);
    for (const event of ['DELETE', 'UPDATE']) {
      const action = dice.of(ACTIONS);
      if (action !== '') parts.push(`ON ${event} ${action}`);
    }
    return parts.join(' ');
  });
  const checks = Array.from({ length: dice.below(3) }, (_, index) => {
    const name = constraintName(dice, last.first, '_chk_', index);
    return `${name} CHECK (${quoted(other)} < ${1_000 + index})`;
  });
  const columns = [id, column, other].map((name) => `${quoted(name)} INT`);
  const [own = '', ...others] = columns;
  const parts = [`${own} PRIMARY KEY`, ...others, ...keys, ...checks];
  return {
    texts: [
      `CREATE TABLE ${quoted(first.first)} (${quoted(id)} INT PRIMARY KEY)`,
      `INSERT INTO ${quoted(first.first)} VALUES (1), (2), (3)`,
      `CREATE TABLE ${quoted(last.first)} (${parts.join(', ')})`,
      `INSERT INTO ${quoted(last.first)} VALUES (1, 1, 1), (2, 2, 2), (3, NULL, 3)`,
      ...first.renames,
      ...last.renames,
    ],
    parent,
    child,
    id,
  };
}

/** How it got its name: by none to two RENAMEs. */
function laterNames(dice: Dice, name: string) {
  const before = Array.from({ length: dice.of([0, 0, 1, 2]) }, (_, index) =>
    tableName(dice, `b${index}${name.slice(0, 6).replaceAll(/\W/g, 'x')}`),
  );
  const all = [...before, name];
  const renames = all.slice(1).map((to, index) => {
    return `RENAME TABLE ${quoted(all[index] ?? '')} TO ${quoted(to)}`;
  });
  return { first: all[0] ?? name, renames };
}

function tableName(dice: Dice, start: string): string {
  const name = oddName(dice, start);
  const isLong = (text: string) =>
    Array.from(text).reduce((sum, one) => sum + (/\w/.test(one) ? 1 : 5), 0) > FILE_NAME_MAX;
  return isLong(name) ? `${start}${'x'.repeat(dice.below(NAME_MAX - start.length))}` : name;
}

/** Short, long or in between, of plain letters or of any. */
function oddName(dice: Dice, start: string): string {
  const room = NAME_MAX - start.length;
  const length = dice.of([0, 0, 1, dice.below(room), room - dice.below(8)]);
  const letters = dice.chance(0.5) ? LETTERS.slice(0, 5) : LETTERS;
  const rest = Array.from({ length }, () => dice.of(letters)).join('');
  // No name ends with a space.
  return `${start}${rest}`.replace(/ $/, '_');
}

/** None, any, or one that begins as those do that the server makes. */
function constraintName(dice: Dice, table: string, word: string, index: number): string {
  const made = `${table}${word}`;
  const room = NAME_MAX - Array.from(made).length;
  if (room < 2 || dice.chance(0.3)) {
    return dice.chance(0.5) ? '' : `CONSTRAINT ${quoted(oddName(dice, `x${index}${word}`))}`;
  }
  const suffix = Array.from(oddName(dice, dice.of([`${index}`, 'w', '0', '12']))).slice(0, room);
  return `CONSTRAINT ${quoted(`${made}${suffix.join('')}`.replace(/ $/, '_'))}`;
}
