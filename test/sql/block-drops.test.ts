/** Which drops of a block may become RENAMEs in its text, and how that text reads then. */
import { expect, test } from '@jest/globals';
import { dropsOfBlock, withInstead } from '../../src/sql/block-drops.js';
import { classify } from '../../src/sql/classify.js';
import { lexMode } from './describe-verdict.js';

const MODE = lexMode('mariadb-11.8');

function dropsIn(text: string) {
  const bytes = Buffer.from(text);
  const verdict = classify(bytes, MODE, { multiStatements: false });
  if (verdict.kind !== 'refused') throw new Error(`${text} is ${verdict.kind}`);
  const drops = dropsOfBlock(bytes, verdict);
  if ('why' in drops) return drops.why;
  const instead = drops.map((_drop, index) => Buffer.from(`<${index}>`));
  return withInstead(bytes, drops, instead).toString();
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
  ['BEGIN NOT ATOMIC DECLARE EXIT HANDLER FOR 1051 DO 1; DROP TABLE a; END', /handler/],
  ['BEGIN NOT ATOMIC CREATE TEMPORARY TABLE a (b INT); DROP TABLE a; END', /temporary/],
  ['BEGIN NOT ATOMIC DROP TABLE a; EXECUTE IMMEDIATE @x; END', /another way/],
  ['BEGIN NOT ATOMIC DROP TABLE a; DROP DATABASE b; END', /another way/],
  ['BEGIN NOT ATOMIC /*!50000 DROP TABLE a */; END', /version comment/],
  ['BEGIN NOT ATOMIC IF ROW_COUNT() THEN DROP TABLE a; END IF; END', /counts/],
  ['BEGIN NOT ATOMIC SHOW WARNINGS; DROP TABLE a; END', /warnings/],
  ['BEGIN NOT ATOMIC SET sql_log_bin = 0; DROP TABLE a; END', /sql_log_bin/],
])('%s is not taken', (text, why) => {
  expect(dropsIn(text)).toMatch(why);
});
