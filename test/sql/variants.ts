/**
 * Statements as people and adversaries may write them: every kind of gap, comment, version comment,
 * quoting, charset and stray byte around drops and around what only looks like one. All from one
 * seed. Bytes are written as latin1 text.
 */
import { Dice, type Random } from '../support/dice.js';
import { STRAY_BYTES } from '../support/stray-bytes.js';

/** A statement text with the settings it is sent under. */
export interface Variant {
  /** Bytes as latin1 text. */
  readonly text: string;
  readonly charset: string;
  readonly sqlMode: string;
  readonly multiStatements: boolean;
}

/** Tables that exist before each variant is run, in the default schema, by charset class. */
const TABLES = ['t1', 't2', 't3', 'a;b', "x'y", 'a"b', 'a`b', 'a\\', 'drop', '1t', 't$1'];
/** Of these the name is a character whose second byte looks like a backtick or a backslash. */
const TRAIL_TABLES: Readonly<Record<string, readonly string[]>> = {
  gbk: ['\x81\x60', '\x81\x5c', 'q\x81\x60'],
  sjis: ['\x83\x60', '\x83\x5c'],
  cp932: ['\x83\x60', '\x83\x5c'],
  big5: ['\xa4\x60', '\xa4\x5c'],
  gb18030: ['\x81\x60', '\x81\x5c'],
  latin1: ['\xe9t\xe9'],
  utf8: ['\xc3\xa9t'],
};

/** The tables that exist for a text in this charset. */
export function tablesFor(charset: string): readonly string[] {
  // Japanese and Swedish have other characters where ASCII has a backslash.
  const isOwn = /sjis|cp932|swe7/.test(charset);
  const plain = isOwn ? TABLES.filter((name) => !/[\\`]/.test(name)) : TABLES;
  return [...plain, ...(TRAIL_TABLES[charset] ?? [])];
}

const CHARSETS = ['utf8', 'utf8', 'utf8', 'latin1', 'gbk', 'sjis', 'cp932', 'big5', 'gb18030'];
const OTHER_CHARSETS = ['cp1251', 'cp850', 'swe7', 'koi8r', 'hebrew', 'latin2', 'macroman', 'ujis'];
const MODES = ['', '', '', 'ANSI_QUOTES', 'NO_BACKSLASH_ESCAPES', 'IGNORE_SPACE'];
const RARE_MODES = ['ANSI_QUOTES,NO_BACKSLASH_ESCAPES', 'ORACLE', 'MSSQL'];
const VERSIONS = [
  ...['', '', '32302', '40000', '50000', '50624', '50625', '50699', '50700', '80000', '90704'],
  ...['90705', '99999', '050000', '080034', '090704', '090705', '100000', '101118', '101119'],
  ...['110800', '110809', '120000', '999999', '5000', '99997'],
];

export class VariantMaker {
  readonly #dice: Dice;
  #charset = 'utf8';
  #sqlMode = '';

  constructor(random: Random) {
    this.#dice = new Dice(random);
  }

  next(): Variant {
    this.#charset = this.#dice.of(this.#dice.chance(0.8) ? CHARSETS : OTHER_CHARSETS);
    this.#sqlMode = this.#dice.of(this.#dice.chance(0.85) ? MODES : RARE_MODES);
    const multiStatements = this.#dice.chance(0.4);
    const count = this.#dice.chance(multiStatements ? 0.6 : 0.1) ? 2 + this.#dice.below(2) : 1;
    const statements = Array.from({ length: count }, () => this.#gapped(this.#statement()));
    let text = statements.join(
      this.#dice.chance(0.9) ? ';' : this.#dice.of(['; ;', ';/*x*/;', '\0', ';\0']),
    );
    if (this.#dice.chance(0.15))
      text += this.#dice.of([';', ' ;', ';\n', '; -- x', '\0', ';/*x*/', '\xa0']);
    if (this.#dice.chance(0.12)) text = this.#mutated(text);
    return { text, charset: this.#charset, sqlMode: this.#sqlMode, multiStatements };
  }

  /** The tokens of a statement; gaps come between them, `\u0001` marks where none may. */
  #statement(): string[] {
    const dice = this.#dice.roll();
    if (dice < 0.04) return this.#modeChange();
    if (dice < 0.5) return this.#dropTable();
    if (dice < 0.6) return this.#innocentString();
    if (dice < 0.68) return this.#neighbour();
    if (dice < 0.78) return this.#program();
    if (dice < 0.86) return this.#block();
    if (dice < 0.94) return this.#dynamic();
    return this.#dice.of([
      words`CREATE OR REPLACE TABLE ${this.#name()} ( a INT )`,
      words`CREATE OR REPLACE TEMPORARY TABLE ${this.#name()} ( a INT )`,
      words`SET STATEMENT max_statement_time = 9 FOR ${this.#dropTable()}`,
      words`DROP DATABASE IF EXISTS no_such_schema`,
      ['EXPLAIN', ...this.#dropTable()],
    ]);
  }

  #modeChange(): string[] {
    return this.#dice.of([
      words`SET sql_mode = 'NO_BACKSLASH_ESCAPES'`,
      words`SET SESSION sql_mode = ''`,
      words`SET sql_mode = CONCAT(@@sql_mode, 'ANSI_QUOTES' )`,
      words`SET @a = 1 , sql_mode = 'ANSI'`,
      ['SET', 'NAMES', this.#dice.of(['gbk', "'sjis'", 'utf8', 'latin1 COLLATE latin1_bin'])],
      ['SET', 'character_set_client', '=', this.#dice.of(['gbk', 'big5', 'utf8'])],
      ['EXECUTE', 'IMMEDIATE', `'SET sql_mode="NO_BACKSLASH_ESCAPES"'`],
      words`IF 1 THEN SET NAMES gbk ; END IF`,
    ]);
  }

  #dropTable(): string[] {
    const names = Array.from({ length: 1 + this.#dice.below(3) }, () => this.#name());
    const list = names.flatMap((name, index) => (index === 0 ? [name] : [',', name]));
    return [
      'DROP',
      ...(this.#dice.chance(0.06) ? ['TEMPORARY'] : []),
      this.#dice.of(words`TABLE TABLE TABLE TABLES`),
      ...(this.#dice.chance(0.4) ? ['IF', 'EXISTS'] : []),
      ...list,
      ...(this.#dice.chance(0.06)
        ? this.#dice.of([['WAIT', '1'], ['NOWAIT'], ['WAIT', '0x1']])
        : []),
      ...(this.#dice.chance(0.1) ? [this.#dice.of(['CASCADE', 'RESTRICT'])] : []),
    ];
  }

  #innocentString(): string[] {
    const body = this.#dice.of([
      'DROP TABLE t1',
      '; DROP TABLE t1; -- ',
      "''; DROP TABLE t1",
      '\\',
      'a\\',
      "\\'; DROP TABLE t1; -- ",
      "\x81\\'; DROP TABLE t1; -- ",
      '"; DROP TABLE t1; -- "',
      '\\\\',
      '""; DROP TABLE t2; ""',
      'x`; DROP TABLE t1; `',
      '*/ DROP TABLE t1 /*',
      '\x81\\',
      '\x83\x5c',
      "\\'",
    ]);
    const quote = this.#dice.of(["'", "'", '"', '`']);
    const literal = `${quote}${body}${quote}`;
    return this.#dice.of([
      ['SELECT', literal],
      ['DO', literal],
      ['SET', '@s', '=', literal],
      ['SELECT', '1', this.#dice.chance(0.5) ? 'AS' : '', literal],
      ['SELECT', `${this.#dice.of(words`_utf8 n x _latin1`)}${literal}`],
    ]);
  }

  #neighbour(): string[] {
    return this.#dice.of([
      words`DROP VIEW IF EXISTS v1`,
      words`ALTER TABLE keep ADD tables INT , DROP tables`,
      ['DROP', 'INDEX', '`table`', 'ON', 'keep'],
      words`INSERT INTO keep VALUES ( 1 )`,
      ['SELECT', '`drop`', 'FROM', 'keep'],
      ['SELECT', '@drop.table', ',', '@`drop`', ',', '@@version'],
      words`SELECT keep.a FROM keep WHERE keep.a - - 1`,
      ['SELECT', '/*+', 'QB_NAME(`x`)', '*/', '1'],
      ['SELECT', '$$', ',', '1'],
      ['SELECT', "$$;DROP TABLE t1;'$$"],
      ['PREPARE', 's', 'FROM', "'DO 1'"],
      ['BEGIN'],
      ['COMMIT'],
    ]);
  }

  /** Several statements in the body; one of them may drop, when somebody calls it. */
  #program(): string[] {
    const inner = this.#body();
    return this.#dice.of([
      words`CREATE PROCEDURE pp ( ) ${inner}`,
      words`CREATE PROCEDURE pp ( x INT ) COMMENT 'a;b' ${inner}`,
      words`CREATE DEFINER = root \u0001 @ \u0001 localhost PROCEDURE pp ( ) ${inner}`,
      words`CREATE EVENT ee ON SCHEDULE EVERY 1 DAY STARTS '2037-01-01' DISABLE DO
        ${inner}`,
      words`CREATE FUNCTION ff ( ) RETURNS CHAR ( 9 ) CHARACTER SET utf8 NO SQL BEGIN IF
        1 THEN RETURN 1 ; END IF ; RETURN CASE 1 WHEN 1 THEN 2 END ; END`,
    ]);
  }

  #body(): string[] {
    const drop = this.#dice.chance(0.7) ? this.#dropTable() : ['DO', '1'];
    return this.#dice.of([
      drop,
      words`BEGIN ${drop} ; END`,
      words`l1 : BEGIN ${drop} ; DO 2 ; END l1`,
      words`IF 1 THEN ${drop} ; ELSEIF 2 THEN DO 1 ; ELSE ${drop} ; END IF`,
      words`BEGIN DECLARE CONTINUE HANDLER FOR SQLEXCEPTION BEGIN END ; ${drop} ; END`,
      words`BEGIN DECLARE EXIT HANDLER FOR NOT FOUND , SQLSTATE '42S02' ${drop} ; DO 1 ;
        END`,
      words`CASE 1 WHEN 1 THEN ${drop} ; ELSE DO 1 ; END CASE`,
      words`CASE WHEN CASE 1 WHEN 1 THEN 1 END THEN ${drop} ; END CASE`,
      words`BEGIN l2 : REPEAT ${drop} ; UNTIL 1 END REPEAT l2 ; END`,
      words`BEGIN DECLARE c CURSOR FOR SELECT CASE WHEN 1 THEN 2 END ; ${drop} ; END`,
    ]);
  }

  /** MariaDB runs these as they are. */
  #block(): string[] {
    const drop = this.#dropTable();
    return this.#dice.of([
      words`BEGIN NOT ATOMIC ${drop} ; END`,
      words`BEGIN NOT ATOMIC DECLARE CONTINUE HANDLER FOR 1051 DO 1 ; ${drop} ; END`,
      words`IF 1 THEN ${drop} ; END IF`,
      words`IF CASE WHEN 0 THEN 1 END THEN DO 1 ; ELSE ${drop} ; END IF`,
      words`CASE 1 WHEN 1 THEN ${drop} ; END CASE`,
      words`REPEAT ${drop} ; UNTIL 1 END REPEAT`,
      words`FOR i IN 1..1 DO ${drop} ; END FOR`,
      words`BEGIN ${drop} ; END`,
      words`DECLARE x INT ; BEGIN ${drop} ; END`,
      words`BEGIN NOT ATOMIC SELECT prepare x FROM keep2 ; END`,
    ]);
  }

  #dynamic(): string[] {
    const inner = this.#dropTable().join(' ').replaceAll('\\', '\\\\').replaceAll("'", "''");
    return this.#dice.of([
      ['EXECUTE', 'IMMEDIATE', `'${inner}'`],
      ['EXECUTE', 'IMMEDIATE', "'DO 1'"],
      ['EXECUTE', 'IMMEDIATE', 'CONCAT', '\u0001', '(', "'DROP TABLE '", ',', "'t1'", ')'],
      ['EXECUTE', 'IMMEDIATE', "'DROP '", "'TABLE t1'"],
      ['EXECUTE', 'IMMEDIATE', "'DR\\OP TABLE t1'"],
      ['EXECUTE', 'IMMEDIATE', "'BEGIN NOT ATOMIC DROP TABLE t2; END'"],
      ['PREPARE', 's', 'FROM', `'${inner}'`],
    ]);
  }

  #name(): string {
    const own = TRAIL_TABLES[this.#charset] ?? [];
    const plain = ['t1', 't2', 't3', 't1', 't2', 'no_such'];
    const name = this.#dice.of([...tablesFor(this.#charset), ...plain, ...own]);
    const isBare = /^[\w$]+$/.test(name) && !/^(drop|table)$/.test(name);
    const quoted = isBare && this.#dice.chance(0.5) ? name : this.#quoted(name);
    if (!this.#dice.chance(0.15)) return quoted;
    return this.#dice.of([
      `here\u0001.\u0001${quoted}`,
      `\`here\`.${quoted}`,
      `here.${quoted}`,
      `.${quoted}`,
      `here.${quoted}.x`,
      `table.${quoted}`,
    ]);
  }

  #quoted(name: string): string {
    const isAnsi = /ANSI|ORACLE|MSSQL/.test(this.#sqlMode);
    const quotes = ['`', '`', '`', ...(isAnsi ? ['"', '"'] : ['"']), '['];
    const quote = this.#dice.of(this.#dice.chance(0.9) ? quotes.slice(0, isAnsi ? 5 : 3) : quotes);
    if (quote === '[') return `[${name.replaceAll(']', ']]')}]`;
    // Backticks that are half of a character aren't doubled.
    const isHalf = /[\x80-\xff][`\\]/.test(name);
    return `${quote}${isHalf ? name : name.replaceAll(quote, quote + quote)}${quote}`;
  }

  /** Joins tokens by gaps, with version comments around some of them. */
  #gapped(tokens: readonly string[]): string {
    const isWild = this.#dice.chance(0.5);
    const parts = tokens.flatMap((token, index) => {
      const text = token.replaceAll('\u0001', () => (isWild && this.#dice.chance(0.2) ? ' ' : ''));
      const cased = /^[A-Z]+$/.test(text) && isWild ? this.#cased(text) : text;
      const isGlued = index === 0 || token === '\u0001' || tokens[index - 1] === '\u0001';
      return [isGlued ? '' : this.#gap(isWild), cased];
    });
    if (this.#dice.chance(0.25)) this.#wrap(parts);
    if (this.#dice.chance(0.05)) this.#wrap(parts);
    const lead = isWild && this.#dice.chance(0.2) ? this.#gap(true) : '';
    return `${lead}${parts.join('')}${isWild && this.#dice.chance(0.2) ? this.#gap(true) : ''}`;
  }

  /** Puts a version comment around a run of parts, closed most of the time. */
  #wrap(parts: string[]): void {
    const from = this.#dice.below(parts.length);
    const to = Math.min(parts.length - 1, from + this.#dice.below(6));
    const mark = this.#dice.of(['!', '!', '!', 'M!', 'm!', ' !']);
    const open = `/*${mark}${this.#dice.of(VERSIONS)}${this.#dice.of([' ', ' ', ' ', '', '\n'])}`;
    parts[from] = open + (parts[from] ?? '');
    if (this.#dice.chance(0.95)) parts[to] = `${parts[to] ?? ''}${this.#dice.of([' ', ''])}*/`;
  }

  #gap(isWild: boolean): string {
    if (!isWild) return ' ';
    const filler = this.#dice.of([
      '',
      ' x ',
      ' ; ',
      " ' ",
      ' " ',
      ' ` ',
      ' DROP TABLE t3 ',
      ' /',
      '*',
      '--',
    ]);
    const line = this.#dice.of(['', ' x', " it's", ' ; DROP TABLE t3', ' */', ' /*']);
    return this.#dice.of([
      ...[' ', ' ', '  ', '\t', '\n', '\v', '\f', '\r', '\r\n'],
      ...[
        `/*${filler}*/`,
        ` /*${filler}*/ `,
        '/**/',
        '/*/ x */',
        '/*!*/',
        '/*!99999 x */',
        '/*M!*/',
      ],
      ...[` --${line === '' ? '\n' : line}\n`, ` -- ${line}\n`, `#${line}\n`, ` --\t${line}\n`],
      ...[
        `/*!99999${filler}*/`,
        '/*!99999 /* x */ */',
        '/*!50000 /* x */ */',
        '/*! /*!99999 */ */',
      ],
      this.#dice.chance(0.05)
        ? this.#dice.of(['\xa0', '\x9a', '\xff', '\x0b\xa0', '\x1c', '\0', ''])
        : ' ',
    ]);
  }

  #cased(word: string): string {
    return Array.from(word, (letter) =>
      this.#dice.chance(0.5) ? letter : letter.toLowerCase(),
    ).join('');
  }

  /** One or two stray bytes put in, taken out or doubled. */
  #mutated(text: string): string {
    let mutated = text;
    for (let count = 1 + this.#dice.below(2); count > 0; count--) {
      const at = this.#dice.below(mutated.length + 1);
      const stray = this.#dice.of([...STRAY_BYTES, '']);
      const cut = stray === '' ? 1 : 0;
      mutated = mutated.slice(0, at) + stray + mutated.slice(at + cut);
    }
    return mutated;
  }
}

/** The words of a text, with others between them. */
function words(texts: TemplateStringsArray, ...others: readonly (string | readonly string[])[]) {
  return texts.flatMap((text, at) => [...(text.match(/\S+/g) ?? []), ...[others[at] ?? []].flat()]);
}
