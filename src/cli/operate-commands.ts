/**
 * The commands with which an operator stops, starts and looks at the collecting on one server:
 * their words, flags and help. commands/operate.ts, gc.ts and status.ts run them.
 */
import { parseDuration } from '../duration.js';
import { UndropError } from '../errors.js';
import { type AccountOf, type Command, JSON_FLAG, type Shell } from './command-line.js';
import { ACCOUNT_KEYS, GC_KEYS, STATUS_KEYS } from './settings.js';

/** Long: one entry for each command. */
export function operateCommands({ stdout }: Shell, accountOf: AccountOf): readonly Command[] {
  return [
    {
      usage: 'pause',
      describe: 'let no proxy move on, purge or remove a held table of this server',
      keys: ACCOUNT_KEYS,
      options: {
        for: { type: 'string', describe: 'for so long, like 2h; default: until `undrop resume`' },
        json: JSON_FLAG,
      },
      examples: [['$0 pause --for 2h', 'nothing is removed for two hours']],
      run: async (flags) => {
        const { runPause } = await import('./commands/operate.js');
        const forMs = forMsOf(flags['for']);
        const settings = await accountOf(flags, ACCOUNT_KEYS);
        return runPause(settings, { forMs, json: flags['json'] === true }, stdout);
      },
    },
    {
      usage: 'resume',
      describe: 'end the pause of this server',
      keys: ACCOUNT_KEYS,
      options: { json: JSON_FLAG },
      run: async (flags) => {
        const { runResume } = await import('./commands/operate.js');
        const settings = await accountOf(flags, ACCOUNT_KEYS);
        return runResume(settings, { json: flags['json'] === true }, stdout);
      },
    },
    {
      usage: 'gc',
      describe: 'do at once all that is due of held tables, without a proxy',
      keys: GC_KEYS,
      options: {
        once: { type: 'boolean', demandOption: true, describe: 'one pass, to the end of it' },
        'dry-run': { type: 'boolean', default: false, describe: 'only say what would be done' },
        json: JSON_FLAG,
      },
      examples: [['$0 gc --once --dry-run', 'what is due, and what would become of it']],
      run: async (flags) => {
        const { runGc } = await import('./commands/gc.js');
        const options = { isDryRun: flags['dry-run'] === true, json: flags['json'] === true };
        return runGc(await accountOf(flags, GC_KEYS), options, stdout);
      },
    },
    {
      usage: 'status',
      describe: 'say who collects, what is held, and what needs attention (then it exits with 1)',
      keys: STATUS_KEYS,
      options: { json: JSON_FLAG },
      run: async (flags) => {
        const { runStatus } = await import('./commands/status.js');
        const settings = await accountOf(flags, STATUS_KEYS);
        return runStatus(settings, { json: flags['json'] === true }, stdout);
      },
    },
  ];
}

function forMsOf(given: unknown): number | null {
  if (given === undefined) return null;
  const forMs = parseDuration(String(given));
  if (forMs !== null && forMs > 0) return forMs;
  const found = JSON.stringify(given);
  throw new UndropError('UNDROP_CONFIG', {
    problems: `--for: expected a duration like 30m or 2h, found ${found}.`,
  });
}
