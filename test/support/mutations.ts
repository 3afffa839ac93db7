/**
 * Scripts of drops with something done to one of their texts: bits turned, bytes taken out, put in
 * or doubled, pieces of other statements spliced in. Whatever comes of it is sent.
 */
import type { Dice } from './dice.js';
import type { Script } from './random-drops.js';

/**
 * What means something to a lexer or a parser: bytes of quoting, comments, numbers and names,
 * halves of wide characters, words. As latin1 text.
 */
const STRAYS = [
  ...['\0', '\xa0', '\\', "'", '"', '`', ';', '.', '@', '$', '/*', '*/', '/*!', '--', '-- ', '#'],
  ...['\n', '(', ')', ',', '0', '\x81', '\xe8', '\xff', '\x7f', '1.', 'e1', ':', '[', ']'],
  ...['/*M!', '!', '\r', '%', '/*!50000 ', '/*!99999 ', 'DELIMITER //\n', ' ', 'x'],
  ...[' DROP TABLE t1 ', '; DROP TABLE t2', ' IF EXISTS ', ' TEMPORARY ', ',t1', '.t1'],
  ...[' BEGIN ', ' END ', ' CASCADE '],
];

/** The sixth bit is the case of a letter. */
const FLIPS = [0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x20, 0x20, 0x20, 0x40, 0x80];
/** What mostly changes nothing. */
const HARMLESS = [
  ...[' ', '\n', '\t', '/* x */', '/**/', '/*!*/', '/*!99999 x */', ' -- x\n', '#x\n', ' /* ; */ '],
  ...['/*!32302 */', '/*M!100100 */', "/* ' */", '/* DROP TABLE t1 */', '\r\n', '\f'],
];

/** One of `script`'s texts changed in one place or two. */
export function mutate(script: Script, dice: Dice, others: readonly Buffer[]): Script {
  const target = dice.below(script.texts.length);
  const texts = script.texts.map((text, index) => {
    if (index !== target) return text;
    let mutated = text;
    for (let count = dice.roll() < 0.7 ? 1 : 2; count > 0; count--) {
      mutated = changed(mutated, dice, others);
    }
    return mutated;
  });
  return { ...script, texts };
}

function changed(text: Buffer, dice: Dice, others: readonly Buffer[]): Buffer {
  const at = dice.below(text.length + 1);
  const end = Math.min(text.length, at + 1 + dice.below(4));
  const put = (from: number, to: number, bytes: Uint8Array) =>
    Buffer.concat([text.subarray(0, from), bytes, text.subarray(to)]);
  const rolled = dice.roll();
  if (rolled < 0.3) {
    // Where blanks are, mostly between two words.
    const blank = text.indexOf(0x20, at);
    const place = blank < 0 ? text.length : blank;
    return put(place, place, Buffer.from(dice.of(HARMLESS), 'latin1'));
  }
  if (rolled < 0.4) {
    const flipped = Buffer.from(text);
    if (at < text.length) flipped[at] = (text[at] ?? 0) ^ dice.of(FLIPS);
    return flipped;
  }
  if (rolled < 0.5) return put(at, end, Buffer.alloc(0));
  if (rolled < 0.66) return put(at, at, Buffer.from(dice.of(STRAYS), 'latin1'));
  if (rolled < 0.72) return put(at, at, text.subarray(at, end + dice.below(12)));
  const other = dice.of(others);
  const [from, to] = [dice.below(other.length), dice.below(other.length)].sort((a, b) => a - b);
  if (rolled < 0.82) return put(at, at, other.subarray(from, to));
  if (rolled < 0.92) return Buffer.concat([text.subarray(0, at), other.subarray(from)]);
  const between = Buffer.from(dice.of([';', '; ', ' ', '\n', ',']));
  const both = dice.roll() < 0.5 ? [text, between, other] : [other, between, text];
  return Buffer.concat(both);
}
