/**
 * Which test files run, and in what order: those without servers first, because the servers may
 * have to be fetched meanwhile (test/support/global-setup.ts). Among each kind those that take
 * longest first, so that all workers have something to do until the end. Jest knows how long a file
 * takes only where it has run before; here it is written down for the longest. All others go by
 * their size. A run without arguments leaves some out: of ROTATING, and those for which it has no
 * time.
 */
const { createHash } = require('node:crypto');
const { statSync } = require('node:fs');
const { relative } = require('node:path');

/** Seconds of a worker on two slow cores, by the path under build/test; a guess will do. */
const SECONDS = {
  ...require('./test-seconds.json'),
  ...(process.env.TEST_LONG === '1' ? require('./test-seconds-long.json') : {}),
};

/** Of a file that isn't among them. */
const OTHER_SECONDS = 4;

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
      'tls-programs',
      'mysql-router',
      'backups',
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
  // They need root: to mount a file system, to make network namespaces, and to boot a Debian.
  { take: 0, files: ['full-disk', 'keepalived', 'installed'] },
];

module.exports = class LongestFirst {
  sort(tests) {
    const all = tests.map((test) => ({ test, ...weightOf(test) }));
    return inTime(all)
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

/**
 * All of them, or those for which scripts/test.mjs gives seconds: without what ROTATING leaves out,
 * and in an order by the seed as many as fit.
 */
function inTime(all) {
  const { TEST_SECONDS, TEST_SEED } = process.env;
  if (TEST_SECONDS === undefined) return all;
  const rotated = leftByRotation(Number(TEST_SEED));
  const placeOf = ({ name }) => createHash('md5').update(`${TEST_SEED} ${name}`).digest('hex');
  const inOrder = all.map((one) => ({ one, place: placeOf(one) }));
  inOrder.sort((a, b) => (a.place < b.place ? -1 : 1));
  const [taken, late] = [[], []];
  let left = Number(TEST_SECONDS);
  for (const { one } of inOrder) {
    if (rotated.has(one.name)) continue;
    const seconds = one.seconds || OTHER_SECONDS;
    const fits = seconds <= left;
    if (fits) left -= seconds;
    (fits ? taken : late).push(one);
  }
  tell('by the seed', [...rotated]);
  tell(
    'for want of time',
    late.map(({ name }) => name),
  );
  return taken;
}

function tell(why, names) {
  if (names.length > 0)
    process.stdout.write(`${names.length} files left out ${why}: ${names.join(', ')}\n`);
}

function leftByRotation(seed) {
  return new Set(
    ROTATING.flatMap(({ take, files }) => {
      const first = seed % files.length;
      const inOrder = [...files.slice(first), ...files.slice(0, first)];
      return inOrder.slice(take).map((file) => `server/${file}`);
    }),
  );
}
