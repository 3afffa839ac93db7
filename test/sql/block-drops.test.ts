/** Which drops of a block may become RENAMEs in its text, and how that text reads then. */
import { expect, test } from '@jest/globals';
import { dropsOfBlock, mayComeToBe, withInstead } from '../../src/sql/block-drops.js';
import { classify } from '../../src/sql/classify.js';
import { lexMode } from './describe-verdict.js';

const MODE = lexMode('mariadb-11.8');

function dropsIn(text: string) {
  const bytes = Buffer.from(text);
  const verdict = classify(bytes, MODE, { multiStatements: false });
  if (verdict.kind !== 'refused') throw new Error(`${text} is ${verdict.kind}`);
  const block = dropsOfBlock(bytes, verdict);
  if ('why' in block) return block.why;
  const instead = block.drops.map((_drop, index) => Buffer.from(`<${index}>`));
  return withInstead(bytes, block.drops, instead).toString();
}

function blockOf(text: string) {
  const bytes = Buffer.from(text);
  const verdict = classify(bytes, MODE, { multiStatements: false });
  if (verdict.kind !== 'refused') throw new Error(`${text} is ${verdict.kind}`);
  const block = dropsOfBlock(bytes, verdict);
  if ('why' in block) throw new Error(block.why);
  return { bytes, block };
}

test.each([
  ['BEGIN NOT ATOMIC DROP TABLE a; END', 'BEGIN NOT ATOMIC <0>; END'],
  ['IF 1 THEN DROP SEQUENCE a; END IF', 'IF 1 THEN <0>; END IF'],
  [
    'BEGIN NOT ATOMIC DO 1; DROP TABLE a, b WAIT 1 ; IF 1 THEN DROP TABLE `c;` -- x\n; END IF; END',
    'BEGIN NOT ATOMIC DO 1; <0> ; IF 1 THEN <1> -- x\n; END IF; END',
  ],
  [
    'CASE 1 WHEN 1 THEN DROP TABLE a; ELSE drop /* x */ tables b; END CASE',
    'CASE 1 WHEN 1 THEN <0>; ELSE <1>; END CASE',
  ],
  [
    'BEGIN NOT ATOMIC WHILE 0 DO DO 1; END WHILE; l: BEGIN DROP TABLE a; END; END',
    'BEGIN NOT ATOMIC WHILE 0 DO DO 1; END WHILE; l: BEGIN <0>; END; END',
  ],
])('%s', (text, expected) => {
  expect(dropsIn(text)).toBe(expected);
});

test.each([
  ['WHILE 1 DO DROP TABLE a; END WHILE', /more than once/],
  ['LOOP IF 1 THEN DROP TABLE a; END IF; END LOOP', /more than once/],
  ['REPEAT DROP TABLE a; UNTIL 1 END REPEAT', /more than once/],
  ['FOR i IN 1..2 DO BEGIN DROP TABLE a; END; END FOR', /more than once/],
  ['BEGIN NOT ATOMIC DECLARE EXIT HANDLER FOR 1051 DO 1; DROP TABLE a; END', /error 1051/],
  [
    'BEGIN NOT ATOMIC DECLARE c CONDITION FOR 1146; DECLARE EXIT HANDLER FOR c DO 1; DROP TABLE a; END',
    /error 1051/,
  ],
  ['BEGIN NOT ATOMIC DECLARE EXIT HANDLER FOR NOT FOUND DROP TABLE a; END', /more than once/],
  [
    'BEGIN NOT ATOMIC CREATE TABLE c (id INT REFERENCES a (id)); DROP TABLE a; END',
    /foreign keys before/,
  ],
  ['BEGIN NOT ATOMIC CREATE TEMPORARY TABLE a (b INT); DROP TABLE a; END', /temporary/],
  ['BEGIN NOT ATOMIC DROP TABLE a; EXECUTE IMMEDIATE @x; END', /only the server knows/],
  ['BEGIN NOT ATOMIC DROP TABLE a; DROP DATABASE b; END', /another way/],
  ['BEGIN NOT ATOMIC /*!50000 DROP TABLE a */; END', /version comment/],
  ['BEGIN NOT ATOMIC IF ROW_COUNT() THEN DROP TABLE a; END IF; END', /counts/],
  ['BEGIN NOT ATOMIC SHOW WARNINGS; DROP TABLE a; END', /warnings/],
  ['BEGIN NOT ATOMIC SET sql_log_bin = 0; DROP TABLE a; END', /sql_log_bin/],
])('%s is not taken', (text, why) => {
  expect(dropsIn(text)).toMatch(why);
});

test.each([
  ['DROP TABLE a; CREATE TABLE b (id INT); DROP TABLE IF EXISTS b, c;', true],
  ['DROP TABLE a; CREATE TABLE IF NOT EXISTS a (id INT REFERENCES b (id));', true],
  ['INSERT INTO a VALUES (1); DROP TABLE a;', true],
  ['DROP TABLE a; INSERT INTO b VALUES (1);', false],
  ['DROP TABLE a; CREATE TABLE b AS SELECT 1;', false],
  ['IF 1 THEN DROP TABLE a; END IF;', false],
  ['DROP TABLE a; IF f() THEN DO 1; END IF;', false],
  ['SET foreign_key_checks = 0; DROP TABLE a;', false],
  ['BEGIN DECLARE EXIT HANDLER FOR NOT FOUND DO 1; DROP TABLE a; END;', false],
])('BEGIN NOT ATOMIC %s END: whether it only drops and creates', (text, isQuiet) => {
  expect(blockOf(`BEGIN NOT ATOMIC ${text} END`).block.isQuiet).toBe(isQuiet);
});

test.each([
  ['DROP TABLE IF EXISTS m;', false],
  ['CREATE TABLE a (id INT); DROP TABLE IF EXISTS m;', false],
  ['DROP TABLE IF EXISTS m; CREATE TABLE m (id INT);', false],
  ['CREATE TABLE `M` (id INT); DROP TABLE IF EXISTS m;', true],
  ['CREATE TABLE s.m (id INT); DROP TABLE IF EXISTS m;', true],
  ['CALL p(); DROP TABLE IF EXISTS m;', true],
  ['CREATE TABLE grün (id INT); DROP TABLE IF EXISTS grün;', true],
])('BEGIN NOT ATOMIC %s END: whether it may be there when its turn comes', (text, expected) => {
  const { bytes, block } = blockOf(`BEGIN NOT ATOMIC ${text} END`);
  const [drop] = block.drops;
  const [name] = drop?.statement.names ?? [];
  if (drop === undefined || name === undefined) throw new Error('no drop');
  expect(mayComeToBe(bytes, drop, name)).toBe(expected);
});
