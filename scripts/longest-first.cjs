/**
 * The order of the test files: those without servers first, because the servers may have to be
 * fetched meanwhile (test/support/global-setup.ts). Among each kind those that take longest first,
 * so that all workers have something to do until the end. Jest knows how long a file takes only
 * where it has run before; here it is written down for the longest. All others go by their size.
 */
const { statSync } = require('node:fs');
const { relative } = require('node:path');

/** Seconds on two cores, by the path under build/test; a guess will do. */
const SECONDS = {
  ...require('./test-seconds.json'),
  ...(process.env.TEST_LONG === '1' ? require('./test-seconds-long.json') : {}),
};

/**
 * Files of which a run takes some, by its seed: they take long, and each of a kind goes through the
 * same code (other people's tools, the demo), or waits for the same. A run of named files has them
 * all, as a long one.
 */
const ROTATING = [
  {
    take: 2,
    files: [
      'tools-debian',
      'tools-debian-dumps',
      'tools-npm',
      'client-matrix-tools',
      'gh-ost',
      'tools-prometheus',
    ],
  },
  {
    take: 3,
    files: [
      'demo-run',
      'demo-start',
      'demo-plain-user',
      'demo-servers',
      'demo-clients',
      'tour',
      'packed',
    ],
  },
  // A collector that is lost is replaced in half a minute, and both wait for that.
  { take: 1, files: ['takeover', 'three-proxies', 'galera', 'group', 'group-kills'] },
  // Pairs of a source and its replica.
  { take: 2, files: ['failover', 'failover-purge', 'replicas', 'writable-replica'] },
  // Servers that are late, full, or refuse.
  { take: 2, files: ['retries', 'pool-bounds', 'host-blocking', 'server-comes-late'] },
  // It needs root, to mount a file system.
  { take: 0, files: ['full-disk'] },
];

module.exports = class LongestFirst {
  sort(tests) {
    const left = leftOut();
    if (left.size > 0) process.stdout.write(`left out by the seed: ${[...left].join(', ')}\n`);
    const known = tests.map((test) => ({ test, ...weightOf(test) }));
    return known
      .filter(({ name }) => !left.has(name))
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
  return { name, servers, seconds: SECONDS[name] ?? 0, size: statSync(path).size };
}

function leftOut() {
  if (process.env.TEST_ROTATES !== '1') return new Set();
  return new Set(
    ROTATING.flatMap(({ take, files }) => {
      const first = Number(process.env.TEST_SEED) % files.length;
      const inOrder = [...files.slice(first), ...files.slice(0, first)];
      return inOrder.slice(take).map((file) => `server/${file}`);
    }),
  );
}
