/** Each case of test/golden/verdict_cases.json, as each of its servers reads it. */
import { classify } from '../support/classify.js';
import { verdictGroups } from './corpus.js';
import { describeVerdict, lexMode } from './describe-verdict.js';

describe.each(verdictGroups)('$about, on $on', ({ on, multiStatements = true, protect, cases }) => {
  const options = { multiStatements, ...(protect && { protect: new Set(protect) }) };

  test.each(cases)('$sql is $verdict', ({ sql, verdict, mode }) => {
    for (const server of on) {
      const found = classify(Buffer.from(sql, 'latin1'), lexMode(server, mode), options);
      expect([server, describeVerdict(found)]).toEqual([server, verdict]);
    }
  });
});
