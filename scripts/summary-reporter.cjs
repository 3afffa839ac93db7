// Prints `N passed, N failed` as the very last line: jest writes its own summary after the
// reporters, so the line is written when the process exits. A skipped test counts as failed.
module.exports = class SummaryReporter {
  onRunComplete(_contexts, results) {
    const broken = results.testResults.filter(
      (file) => file.testExecError && file.numFailingTests === 0,
    ).length;
    const skipped = results.numPendingTests + results.numTodoTests;
    const failed = results.numFailedTests + broken + skipped;
    const line = `${results.numPassedTests} passed, ${failed} failed\n`;
    process.once('exit', () => require('node:fs').writeSync(1, line));
  }
};
