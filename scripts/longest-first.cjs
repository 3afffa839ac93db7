/**
 * The order of the test files: those without servers first, because the servers may have to be
 * fetched meanwhile (test/support/global-setup.ts). Among each kind those that take longest first,
 * so that all workers have something to do until the end. Jest knows how long a file takes only
 * where it has run before; here it is written down for the longest. All others go by their size.
 */
const { statSync } = require('node:fs');
const { relative } = require('node:path');

/** Seconds of a worker on two slow cores, by the path under build/test; a guess will do. */
const SECONDS = {
  ...require('./test-seconds.json'),
  ...(process.env.TEST_LONG === '1' ? require('./test-seconds-long.json') : {}),
};

module.exports = class LongestFirst {
  sort(tests) {
    return tests
      .map((test) => ({ test, ...weightOf(test) }))
      .sort((a, b) => a.servers - b.servers || b.seconds - a.seconds || b.size - a.size)
      .map(({ test }) => test);
  }

  /** For --onlyFailures. */
  allFailedTests(tests) {
    return this.sort(tests);
  }

  shard(tests, { shardIndex, shardCount }) {
    return this.sort(tests).filter((_, index) => index % shardCount === shardIndex - 1);
  }

  /** Nothing is remembered. */
  cacheResults() {}
};

function weightOf({ path, context }) {
  const name = relative(`${context.config.rootDir}/build/test`, path).replace(/\.test\.js$/, '');
  const servers = context.config.displayName.name === 'server' ? 1 : 0;
  return { servers, seconds: SECONDS[name] ?? 0, size: statSync(path).size };
}
