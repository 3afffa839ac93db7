// Writes how many tests passed and failed to the file that scripts/test.mjs names, which prints the
// last line from it. A skipped test counts as failed.
const { writeFileSync } = require('node:fs');

module.exports = class SummaryReporter {
  onRunComplete(_contexts, results) {
    const file = process.env.TEST_COUNTS_FILE;
    if (file === undefined) return;
    const broken = results.testResults.filter(
      (test) => test.testExecError && test.numFailingTests === 0,
    ).length;
    const files = results.numTotalTestSuites;
    const skipped = results.numPendingTests + results.numTodoTests;
    const failed = results.numFailedTests + broken + skipped;
    writeFileSync(file, JSON.stringify({ files, passed: results.numPassedTests, failed }));
  }
};
