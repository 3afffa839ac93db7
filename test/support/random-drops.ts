/**
 * Drops as the grammars of DROP TABLE and DROP SEQUENCE have them, and MariaDB's CREATE OR REPLACE,
 * one after the other from a seed: names of every kind, all clauses, all gaps and comments, and
 * every way to send them, in a block of MariaDB's too. Each is known by its number, so that one can
 * be said again alone.
 */
import { Dice, seededRandom } from './dice.js';

/** How a drop is said: what the session is in, and the texts in their order. */
export interface Script {
  readonly charset: string;
  readonly sqlMode: string;
  /** The default schema. */
  readonly schema: string;
  /** Temporary tables that the session has. */
  readonly temporaries: readonly string[];
  /** `prepared`: each text by COM_STMT_PREPARE, then executed so many times. */
  readonly way: 'query' | 'prepared';
  readonly executions: number;
  readonly multiStatements: boolean;
  readonly texts: readonly Buffer[];
}

export const NEAR = 'near';
export const FAR = 'far';

/** A name, and its bytes in the charsets that have it. `bytes`: null where it is ASCII. */
type Name = { readonly name: string; readonly bytes: Readonly<Record<string, string>> | null };

const ascii = (name: string): Name => ({ name, bytes: null });

function wide(bytes: Readonly<Record<string, string>>): Name {
  const [[charset, text] = ['', '']] = Object.entries(bytes);
  const name = new TextDecoder(charset).decode(Buffer.from(text, 'latin1'));
  const utf8 = Buffer.from(name).toString('latin1');
  return { name, bytes: { ...bytes, utf8, utf8mb4: utf8 } };
}

/** The second byte of the last three is a backslash or a backtick. */
const TABLES: readonly Name[] = [
  ...['t1', 't2', 't1', 'a b', 'x;y', 'drop', 'q`r', 'm"n', 'table.1', '1t'].map(ascii),
  wide({ latin1: '\xe9t\xe9' }),
  wide({ gbk: '\xd5\x5c', gb18030: '\xd5\x5c' }),
  wide({ shift_jis: '\x83\x5c', sjis: '\x83\x5c', cp932: '\x83\x5c' }),
  wide({ shift_jis: '\x83\x60', sjis: '\x83\x60', cp932: '\x83\x60' }),
];
/** Base tables in each of the two schemas. */
export const NEAR_TABLES: readonly string[] = [...new Set(TABLES.map(({ name }) => name))];
export const FAR_TABLES: readonly string[] = ['t1', 'away'];
export const VIEW = 'v';
export const SEQUENCE = 's';
/** Temporary ones: alone, and in front of a base table. */
const TEMPORARIES: readonly string[] = ['tt', 't2', 't1'];

const CHARSETS = 'utf8mb4 utf8mb4 utf8 latin1 gbk gb18030 sjis cp932 big5'.split(' ');
const MODES = ['', '', '', 'ANSI_QUOTES', 'NO_BACKSLASH_ESCAPES', 'IGNORE_SPACE'];
const RARE_MODES = ['ANSI_QUOTES,NO_BACKSLASH_ESCAPES', 'ANSI'];
/** Below and above each server's version, in both ways to count. */
const VERSIONS = [
  ...['', '32302', '40000', '50000', '50624', '50625', '50700', '80000', '90704', '90705'],
  ...['99999', '080034', '090704', '100000', '100100', '101118', '101199', '110800', '120000'],
];
const BARE = /^[A-Za-z_$0-9\x80-\xff]+$/;

export interface DropOptions {
  readonly seed: number;
  readonly isMariadb: boolean;
  /** MySQL from 5.7 on does. */
  readonly knowsGb18030: boolean;
}

/** The drop of this number. */
export function randomDrop(number: number, options: DropOptions): Script {
  return new Maker(diceOf(number, options.seed), options).next();
}

/** A sequence for each number, whatever was asked for before. */
export function diceOf(number: number, seed: number): Dice {
  return new Dice(seededRandom((seed ^ Math.imul(number + 1, 0x9e3779b1)) >>> 0));
}

class Maker {
  readonly #dice: Dice;
  readonly #isMariadb: boolean;
  readonly #knowsGb18030: boolean;
  #charset = '';
  #sqlMode = '';

  constructor(dice: Dice, { isMariadb, knowsGb18030 }: DropOptions) {
    this.#dice = dice;
    this.#isMariadb = isMariadb;
    this.#knowsGb18030 = knowsGb18030;
  }

  next(): Script {
    const charset = this.#dice.of(CHARSETS);
    this.#charset = charset === 'gb18030' && !this.#knowsGb18030 ? 'gbk' : charset;
    this.#sqlMode = this.#dice.of(this.#dice.chance(0.9) ? MODES : RARE_MODES);
    const carried = this.#carried();
    return {
      charset: this.#charset,
      sqlMode: this.#sqlMode,
      schema: this.#dice.chance(0.9) ? NEAR : FAR,
      temporaries: TEMPORARIES.filter(() => this.#dice.chance(0.15)),
      way: 'query',
      executions: 1,
      multiStatements: false,
      ...carried,
    };
  }

  #carried(): Pick<Script, 'texts'> & Partial<Script> {
    const dice = this.#dice.roll();
    if (dice < 0.4) return { texts: [this.#drop()], multiStatements: this.#dice.chance(0.3) };
    if (dice < 0.6) {
      return { texts: [this.#drop()], way: 'prepared', executions: 1 + this.#dice.below(2) };
    }
    if (dice < 0.8) return { texts: this.#asText() };
    if (this.#isMariadb && dice < 0.88) {
      return { texts: [this.#block()], multiStatements: this.#dice.chance(0.5) };
    }
    return { texts: [this.#several()], multiStatements: true };
  }

  /** PREPARE and EXECUTE as texts. Where it isn't UTF-8, a text in a literal has to be ASCII. */
  #asText(): readonly Buffer[] {
    const isUtf8 = this.#charset.startsWith('utf8');
    let drop = this.#drop();
    while (!isUtf8 && drop.some((byte) => byte > 0x7f)) drop = this.#drop();
    const hasEscapes = !this.#sqlMode.includes('NO_BACKSLASH_ESCAPES');
    const text = drop.toString('latin1').replaceAll("'", "''");
    const literal = `'${hasEscapes ? text.replaceAll('\\', '\\\\') : text}'`;
    const execute = Array.from({ length: 1 + this.#dice.below(2) }, () => 'EXECUTE st');
    const ways = [
      [`PREPARE st FROM ${literal}`, ...execute],
      [`PREPARE st FROM ${literal}`, ...execute, 'DEALLOCATE PREPARE st'],
      [`SET @q = ${literal}`, 'PREPARE st FROM @q', ...execute],
      ...(this.#isMariadb ? [[`EXECUTE IMMEDIATE ${literal}`]] : []),
    ];
    return this.#dice.of(ways).map(bytesOf);
  }

  #several(): Buffer {
    const statements = Array.from({ length: 2 + this.#dice.below(3) }, () =>
      this.#dice.chance(0.6) ? this.#dropText() : this.#dice.of(BESIDE),
    );
    const text = statements.reduce((all, one) => `${all}${this.#dice.of(SEPARATORS)}${one}`);
    return bytesOf(text + this.#dice.of(BEHIND));
  }

  /** What MariaDB runs outside of programs too; mostly with one drop in it. */
  #block(): Buffer {
    const body = Array.from({ length: this.#dice.of([1, 1, 1, 2]) }, () => this.#dropText());
    if (this.#dice.chance(0.3)) body.unshift(this.#dice.of(['DO 1', 'SELECT 1', 'SET @a = 1']));
    const drops = body.map((text) => `${text}\n;`).join(' ');
    const block = this.#dice.of([
      `BEGIN NOT ATOMIC ${drops} END`,
      ...[`BEGIN NOT ATOMIC DECLARE x INT DEFAULT 1; ${drops} END`, `IF 1 THEN ${drops} END IF`],
      ...[`IF 0 THEN DO 1; ELSE ${drops} END IF`, `IF 0 THEN ${drops} END IF`],
      `CASE 1 WHEN 1 THEN ${drops} ELSE DO 1; END CASE`,
    ]);
    return bytesOf(block + this.#dice.of(['', '', ';', ' -- x']));
  }

  #drop(): Buffer {
    const behind = this.#dice.chance(0.2)
      ? this.#dice.of([';', ' ;', ' -- x', ' # x', '/* x */', ';\n'])
      : '';
    return bytesOf(this.#dropText() + behind);
  }

  #dropText(): string {
    if (this.#isMariadb && this.#dice.chance(0.08)) return this.#replacement();
    const isSequence = this.#dice.chance(this.#isMariadb ? 0.1 : 0.02);
    const names = Array.from({ length: this.#dice.of([1, 1, 1, 2, 2, 3, 4]) }, () =>
      isSequence && this.#dice.chance(0.6) ? this.#quoted(SEQUENCE) : this.#name(),
    );
    const tokens = [
      'DROP',
      ...(this.#dice.chance(0.12) ? ['TEMPORARY'] : []),
      isSequence ? 'SEQUENCE' : this.#dice.of(['TABLE', 'TABLE', 'TABLE', 'TABLES']),
      ...(this.#dice.chance(0.45) ? ['IF', 'EXISTS'] : []),
      ...names.flatMap((name, index) => (index === 0 ? [name] : [',', name])),
      ...(this.#dice.chance(this.#isMariadb ? 0.12 : 0.02)
        ? this.#dice.of([['WAIT', '1'], ['WAIT', '0'], ['NOWAIT']])
        : []),
      ...(this.#dice.chance(0.12) ? [this.#dice.of(['RESTRICT', 'CASCADE'])] : []),
    ];
    return this.#joined(tokens);
  }

  /** By an empty table of one column. */
  #replacement(): string {
    const what = this.#dice.chance(0.9) ? ['TABLE'] : ['TEMPORARY', 'TABLE'];
    const columns = ['(', 'id', 'INT', ')'];
    return this.#joined(['CREATE', 'OR', 'REPLACE', ...what, this.#name(), ...columns]);
  }

  /** With gaps between; words that touch need one. */
  #joined(tokens: readonly string[]): string {
    const isWild = this.#dice.chance(0.6);
    const parts = tokens.map((token, index) => {
      const before = tokens[index - 1];
      const text = isWild && /^[A-Z]+$/.test(token) ? this.#cased(token) : token;
      if (before === undefined) return text;
      const mayTouch = !/[\w$\x80-\xff]$/.test(before) || !/^[\w$\x80-\xff]/.test(token);
      if (mayTouch && this.#dice.chance(0.3)) return text;
      return `${isWild ? this.#gap() : ' '}${text}`;
    });
    if (this.#dice.chance(0.2)) this.#wrap(parts);
    return `${isWild && this.#dice.chance(0.15) ? this.#gap() : ''}${parts.join('')}`;
  }

  /** Puts a version comment around a run of parts. */
  #wrap(parts: string[]): void {
    const from = this.#dice.below(parts.length);
    const to = Math.min(parts.length - 1, from + this.#dice.below(4));
    parts[from] =
      ` /*${this.#dice.of(['!', '!', 'M!'])}${this.#dice.of(VERSIONS)} ${parts[from] ?? ''}`;
    parts[to] = `${parts[to] ?? ''} */`;
  }

  #gap(): string {
    const fillers = ['', ' x ', ' ; ', " ' ", ' " ', ' ` ', ' DROP TABLE t1 ', ' -- ', '*'];
    const filler = this.#dice.of(fillers);
    const line = this.#dice.of(['', ' x', " it's", ' ; DROP TABLE t2', ' */', ' /*', ' `']);
    return this.#dice.of([
      ...[' ', ' ', '  ', '\t', '\n', '\v', '\f', '\r', '\r\n', `/*${filler}*/`, ` /*${filler}*/ `],
      ...['/**/', '/*!*/', '/*!99999 x */', `/*!999999${filler}*/`, '/*M!*/', ` --\t${line}\n`],
      ...[` -- ${line}\n`, `#${line}\n`, ` --\n`],
    ]);
  }

  #name(): string {
    const dice = this.#dice.roll();
    if (dice < 0.12)
      return this.#dice.of(['none', '`none`', 'near.none', 'far.none', 'nowhere.none']);
    if (dice < 0.2) return this.#quoted(this.#dice.of([VIEW, SEQUENCE]));
    if (dice < 0.3) return `${FAR}.${this.#quoted(this.#dice.of(FAR_TABLES))}`;
    if (dice < 0.38) return this.#dice.of(['tt', 'near.tt', 't2']);
    const own = TABLES.filter(({ bytes }) => bytes === null || this.#charset in bytes);
    const { name, bytes } = this.#dice.of(own);
    const quoted = this.#quoted(bytes?.[this.#charset] ?? name, bytes !== null);
    if (!this.#dice.chance(0.25)) return quoted;
    return `${this.#dice.of(['near', '`near`'])}${this.#dice.of(['.', '.', ' . ', '. '])}${quoted}`;
  }

  #quoted(name: string, isWide = false): string {
    if (BARE.test(name) && !/^(drop|v)$/.test(name) && this.#dice.chance(0.6)) return name;
    const isAnsi = /ANSI/.test(this.#sqlMode);
    const quote = isAnsi && this.#dice.chance(0.4) ? '"' : '`';
    // A backtick that is half of a character isn't doubled.
    return `${quote}${isWide ? name : name.replaceAll(quote, quote + quote)}${quote}`;
  }

  #cased(word: string): string {
    return Array.from(word, (letter) =>
      this.#dice.chance(0.5) ? letter : letter.toLowerCase(),
    ).join('');
  }
}

/** What stands beside drops in a query of several statements. */
const BESIDE = [
  ...['SELECT 1', 'DO 1', "SELECT '; DROP TABLE t1'", 'SELECT `id` FROM `keep`', 'SELECT 1/0'],
  ...['CREATE TABLE IF NOT EXISTS t1 (id INT)', 'BEGIN', 'COMMIT', 'SELEC 1', 'SET @a = "x"'],
];
const SEPARATORS = [';', '; ', ';\n', ' ; ', '; /* ; */ ', ';-- x\n', ';#;\n'];
const BEHIND = ['', '', '', ';', ' ;\n', '; -- x', ' /* x */'];

function bytesOf(text: string): Buffer {
  return Buffer.from(text, 'latin1');
}
