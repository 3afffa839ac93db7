/** Settings out of flags, environment, file and defaults; every mistake named at once. */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadSettings, readConfigFile, SECRET_KEYS, type Sources } from '../../src/config/load.js';
import { REMOVED_SETTINGS } from '../../src/config/removed.js';
import { SETTINGS, type SettingKey, type Settings, variableOf } from '../../src/config/schema.js';
import { refusal } from '../support/refusal.js';

const KEYS = Object.keys(SETTINGS) as SettingKey[];
// The folder for temporary files is open to all.
const folder = mkdtempSync(join(tmpdir(), 'undrop-config-'));
afterAll(() => rmSync(folder, { recursive: true }));
const NEEDED = { UNDROP_UPSTREAM: 'db', UNDROP_USER: 'undrop' };

function sources(given: Partial<Sources>): Sources {
  return { flags: {}, env: {}, file: null, ...given };
}

/** All settings, the needed ones given. */
function load(given: Partial<Sources>): Settings {
  const env = { ...NEEDED, ...given.env };
  return loadSettings(KEYS, sources({ ...given, env })).settings;
}

function problemsOf(run: () => unknown): readonly string[] {
  const error = refusal(run);
  expect(error?.code).toBe('UNDROP_CONFIG');
  const [problems = ''] = error?.message.split(' Run the command with `--help`') ?? [];
  return problems.split('\n');
}

describe('the defaults', () => {
  test('are values of their own settings', () => {
    for (const key of KEYS) {
      const { default: fallback, parse } = SETTINGS[key];
      if (fallback !== null)
        expect({ key, value: parse(fallback) }).not.toEqual({ key, value: null });
    }
  });

  test('leave out what must be given', () => {
    expect(problemsOf(() => loadSettings(KEYS, sources({})))).toEqual([
      'UNDROP_UPSTREAM is not set: expected host:port (default port 3306) or the path of a ' +
        'unix socket; several separated by commas, tried in order.',
      'UNDROP_USER is not set: expected a user name.',
    ]);
  });
});

describe('a flag wins over the environment, the environment over the file, the file over the default', () => {
  const file = { path: 'undrop.json', values: { hold: '3d' } };

  test.each([
    ['all three', { flags: { hold: '1d' }, env: { UNDROP_HOLD: '2d' }, file }, 1],
    ['environment and file', { env: { UNDROP_HOLD: '2d' }, file }, 2],
    ['the file', { file }, 3],
    ['none', {}, 7],
  ])('%s', (_which, given, days) => {
    expect(load(given).hold).toBe(days * 86_400_000);
  });

  test('also where the winner is wrong: nothing else is taken instead', () => {
    const given = { flags: { hold: 'x' }, env: { UNDROP_HOLD: '2d' } };
    expect(problemsOf(() => load(given))).toEqual([expect.stringMatching(/^--hold: expected/)]);
  });
});

describe('a value in the file', () => {
  const withFile = (values: Readonly<Record<string, unknown>>) =>
    load({ file: { path: 'undrop.json', values } });

  test('may be a list, a number or a yes', () => {
    expect(withFile({ lifecycle: ['hold', 'drop'] }).lifecycle).toEqual(['hold', 'drop']);
    expect(withFile({ maxTables: 200 }).maxTables).toBe(200);
    expect(withFile({ console: false }).console).toBe('off');
    expect(withFile({ listen: [':1', '/run/u.sock'] }).listen).toEqual([
      { host: '127.0.0.1', port: 1 },
      { socketPath: '/run/u.sock' },
    ]);
  });

  test('that is wrong is named with the file', () => {
    expect(problemsOf(() => withFile({ maxTables: 0 }))).toEqual([
      'maxTables in undrop.json: expected none, or a number from 1 to 1000000, found "0".',
    ]);
  });

  test('is a list of rules as one text, or as several', () => {
    const texts = ['a.*: now', 'b.*: hold=1d'];
    const rules = withFile({ rules: texts }).rules;
    expect(rules.map(({ text }) => text)).toEqual(texts);
    expect(withFile({ rules: texts.join(';') }).rules).toEqual(rules);
  });

  test('under a name that is no setting stops the start', () => {
    expect(problemsOf(() => withFile({ hodl: '7d', UNDROP_HOLD: '7d' }))).toEqual([
      'hodl in undrop.json is not a setting.',
      'UNDROP_HOLD in undrop.json is not a setting.',
    ]);
  });
});

/** What a setting doesn't take. The mistakes of rules have words of their own. */
const WRONG: Partial<Record<SettingKey, readonly string[]>> = {
  ...{ listen: ['', 'a b', ':99999', 'db:1,', 'db:1,,db:2'], upstream: ['', 'mysql://db', 'db:x'] },
  ...{ user: [''], tier: ['', 'all', 'full,least'], schemas: [',', 'shop,,crm'] },
  tls: ['', 'on', 'preferred', 'offered,required'],
  ...{ upstreamTls: ['', 'on', 'require', 'required,verify-ca'], upstreamPublicKey: [''] },
  ...{ mode: ['', 'on', 'hold,observe'], allowDestroy: ['', 'on', 'root'] },
  // An empty variable may be a slip: it must not be what takes the protection away.
  protect: ['', 'none,drop-table', 'drop', 'drop-table;drop-database', 'every'],
  ...{ requireIdle: ['', '7', '0', '500ms', 'never', '11000d'], note: ['', 'yes'] },
  lifecycle: ['', 'keep', 'hold,,drop', 'hold drop'],
  ...{ hold: ['', '7', '7 d', '-1d', 'never', '11000d'], minHold: ['', '1', '-1h', '11000d'] },
  ...{ maxHold: ['', '1', '-1h', '11000d'], evac: ['', '3', '1y'] },
  ...{ maxBytes: ['', '0', '5X', '-1G'], maxTables: ['', '0', '1e3'], minFree: ['', '0', 'all'] },
  ...{ adminHosts: ['a b', 'x,', '-', 'http://x'], console: ['', 'yes'] },
  ...{ adminListen: ['a b', ':99999', ','], purgeImpact: ['', '0', '20', '2s'] },
  window: ['', '22:00', '24:00-06:00', '22:00-22:00', '22:00-06:00 CET'],
  throttleQuery: ['DELETE FROM t', 'select 0; select 1', '0', '-- SELECT 1'],
  ...{ replicas: [',', 'db1,,db2', 'mysql://db'], maxLag: ['', '0', '5', '25h'] },
  ...{ checkInterval: ['0', '999ms', '25d', '1'], fastDrop: ['', 'on', 'maybe'] },
  ...{ collect: ['', 'always', 'true'], grace: ['', '1', '-1h'] },
  maxConnections: ['', '0', '-1', '1000001', 'many'],
  workers: ['', '0', '257', 'all', '1.5'],
  proxyProtocol: ['all', '10.0.0.0/33', '10.0.0/8', 'fd00::/129', '10.0.0.0/8;unix', '[::1]'],
  ...{ upstreamProxyProtocol: ['', 'on', 'v1'], drainWait: ['', '10', '-1s', '2h'] },
  ...{ drainTimeout: ['', '15', '2h'], logLevel: ['', 'trace', 'loud'] },
};

describe('a wrong value', () => {
  const wrong = KEYS.flatMap((key) => (WRONG[key] ?? []).map((text) => ({ key, text })));

  test.each(wrong)('of $key: "$text"', ({ key, text }) => {
    const { expected } = SETTINGS[key];
    const variable = variableOf(key);
    const [problem, ...more] = problemsOf(() => load({ env: { [variable]: text } }));
    const found = SECRET_KEYS.has(key) ? 'something else' : JSON.stringify(text);
    const known = `${variable}: expected ${expected}, found ${found}`;
    expect([problem?.replace(/; perhaps [a-z-]+ is meant/, ''), more]).toEqual([`${known}.`, []]);
  });

  test('may be a slip of a word that is known', () => {
    expect(problemsOf(() => load({ env: { UNDROP_UPSTREAM_TLS: 'require' } }))).toEqual([
      expect.stringMatching(/found "require"; perhaps required is meant\.$/),
    ]);
  });

  test('is there for each setting that does not take any text', () => {
    const others = KEYS.filter((key) => WRONG[key] === undefined && key !== 'rules');
    expect(others.filter((key) => SETTINGS[key].parse('\n') === null)).toEqual([]);
  });

  test('of rules is named for each of them', () => {
    const env = { UNDROP_RULES: 'a.*: now; b: now; c.*: kep' };
    expect(problemsOf(() => load({ env }))).toEqual([
      expect.stringMatching(/^UNDROP_RULES: rule 2, `b: now`: expected a pattern schema.table,/),
      expect.stringMatching(/^UNDROP_RULES: rule 3, `c\.\*: kep`: expected hold, .*found "kep"\.$/),
    ]);
  });

  test('is named together with all others', () => {
    const problems = problemsOf(() =>
      loadSettings(
        KEYS,
        sources({
          flags: { collect: 'x' },
          env: { UNDROP_HOLD: '7', UNDROP_LOG_LEVEL: 'loud' },
          file: { path: 'undrop.json', values: { grace: 'x', unknown: 1 } },
        }),
      ),
    );
    expect(problems.map((problem) => problem.split(/[: ]/)[0])).toEqual([
      'unknown',
      'UNDROP_UPSTREAM',
      'UNDROP_USER',
      'UNDROP_HOLD',
      '--collect',
      'grace',
      'UNDROP_LOG_LEVEL',
    ]);
  });

  test('of a setting that the command doesn’t need is no matter', () => {
    const given = sources({ env: { UNDROP_HOLD: 'x', UNDROP_USER: 'me' } });
    expect(loadSettings(['user'], given).settings).toEqual({ user: 'me' });
  });
});

test.each<[string, Readonly<Record<string, string>>, Partial<Settings>]>([
  ['words are in any case', { UNDROP_CONSOLE: 'OFF' }, { console: 'off' }],
  ['words in lists too', { UNDROP_LIFECYCLE: 'HOLD , evac' }, { lifecycle: ['hold', 'evac'] }],
  ['none is no protection at all', { UNDROP_PROTECT: 'None' }, { protect: [] }],
  [
    'all holds as much as can be held, and refuses the rest',
    { UNDROP_PROTECT: 'all' },
    {
      protect: ['drop-table', 'drop-database', 'create-or-replace', 'truncate', 'drop-partition'],
    },
  ],
  [
    'several upstreams keep their order',
    { UNDROP_UPSTREAM: 'a, b:3310, /run/c.sock' },
    {
      upstream: [
        { host: 'a', port: 3306 },
        { host: 'b', port: 3310 },
        { socketPath: '/run/c.sock' },
      ],
    },
  ],
])('%s', (_name, env, expected) => {
  expect(load({ env })).toMatchObject(expected);
});

describe('a setting of an earlier version', () => {
  test('is a warning, in the environment and in the file', () => {
    const file = { path: 'undrop.json', values: { ledgerKeep: '30d' } };
    const env = { ...NEEDED, UNDROP_LISTEN_MODE: '0666' };
    expect(loadSettings(KEYS, sources({ env, file })).warnings).toEqual([
      expect.stringMatching(/^UNDROP_LISTEN_MODE was removed: unix sockets have the mode 0660;/),
      expect.stringMatching(/^ledgerKeep in undrop\.json was removed: .* 90 days$/),
    ]);
  });

  test('is not one of this version', () => {
    expect(Object.keys(REMOVED_SETTINGS).filter((key) => key in SETTINGS)).toEqual([]);
  });

  test('a value of one is a mistake that says what to use instead', () => {
    const said = 'UNDROP_MODE: expected hold, observe, off, found "';
    expect(problemsOf(() => load({ env: { UNDROP_MODE: 'replay' } }))).toEqual([
      `${said}replay", which was removed: load a binary log on a direct connection to the server.`,
    ]);
    const file = { path: 'undrop.json', values: JSON.parse('{"toString": "on"}') };
    const odd = { env: { UNDROP_MODE: 'constructor' }, file };
    expect(problemsOf(() => load(odd))).toEqual([
      'toString in undrop.json is not a setting.',
      `${said}constructor".`,
    ]);
  });
});

describe('a variable that is no setting', () => {
  test('is a warning, not a mistake', () => {
    const env = { ...NEEDED, UNDROP_SERVICE_HOST: '10.0.0.1', UNDROP_HODL: '7d', PATH: '/bin' };
    const { warnings, settings } = loadSettings(KEYS, sources({ env }));
    expect(warnings).toEqual([
      'UNDROP_SERVICE_HOST is not a setting of undrop',
      'UNDROP_HODL is not a setting of undrop; perhaps HOLD is meant',
    ]);
    expect(settings.hold).toBe(604_800_000);
  });

  test('is said beside what is not set, because it may be that, misspelled', () => {
    const env = { UNDROP_UPSTREM: 'db:3306', UNDROP_USER: 'undrop' };
    const load = () => loadSettings(KEYS, sources({ env }));
    expect(load).toThrow(
      /UNDROP_UPSTREAM is not set: .*\nUNDROP_UPSTREM is not a setting of undrop; perhaps UPSTREAM is meant\./,
    );
  });

  test('that names the file of settings is known', () => {
    const env = { ...NEEDED, UNDROP_CONFIG: 'undrop.json' };
    expect(loadSettings(KEYS, sources({ env })).warnings).toEqual([]);
  });
});

describe('a secret in a file', () => {
  function warningsWith(
    modes: { readonly of: number; readonly folder: number },
    given: (path: string) => Partial<Sources>,
  ): readonly string[] {
    const path = join(folder, 'secret');
    writeFileSync(path, '{ "password": "x" }');
    chmodSync(path, modes.of);
    chmodSync(folder, modes.folder);
    const all = given(path);
    return loadSettings(KEYS, sources({ ...all, env: { ...NEEDED, ...all.env } })).warnings;
  }

  const ofVariables = ['PASSWORD_FILE', 'TLS_KEY', 'UPSTREAM_KEY'].map((name) => {
    const given = (path: string): Partial<Sources> => ({ env: { [`UNDROP_${name}`]: path } });
    return { name, given };
  });
  const ofFile = (path: string): Partial<Sources> => ({ file: readConfigFile(path) });
  const ways = [...ofVariables, { name: 'the file of settings', given: ofFile }];

  test.each(ways)('that all may read is warned of: $name', ({ given }) => {
    const open = { of: 0o644, folder: 0o755 };
    const warning = `all users of this machine can read ${join(folder, 'secret')}; run chmod o-r on it`;
    expect(warningsWith(open, given)).toEqual([warning]);
    expect(warningsWith({ ...open, of: 0o640 }, given)).toEqual([]);
    expect(warningsWith({ ...open, folder: 0o750 }, given)).toEqual([]);
  });
});

describe('the password', () => {
  function fileWith(text: string): string {
    const path = join(folder, `password-${text.length}`);
    writeFileSync(path, text);
    return path;
  }

  test.each([
    ['secret\n', 'secret'],
    ['secret\r\n', 'secret'],
    ['two\nlines\n\n', 'two\nlines\n'],
    [' blank ', ' blank '],
    ['', ''],
  ])('in a file, %j, is %j', (text, password) => {
    const env = { UNDROP_PASSWORD_FILE: fileWith(text), UNDROP_PASSWORD: 'other' };
    expect(load({ env }).password).toBe(password);
  });

  test('in a file that isn’t there is a mistake', () => {
    const env = { UNDROP_PASSWORD_FILE: join(folder, 'missing') };
    const problem = /^UNDROP_PASSWORD_FILE: expected a readable file, found (Error: )?ENOENT/;
    expect(problemsOf(() => load({ env }))).toEqual([expect.stringMatching(problem)]);
  });

  test('is not in the message of another mistake', () => {
    const env = { UNDROP_PASSWORD: 'secret', UNDROP_HOLD: 'x' };
    expect(problemsOf(() => load({ env })).join()).not.toContain('secret');
  });
});

describe('the file of settings', () => {
  function read(text: string) {
    const path = join(folder, 'undrop.conf');
    writeFileSync(path, text);
    return readConfigFile(path);
  }

  test('may have comments and a last comma', () => {
    const text =
      '// one, }\r\n{\r\n  // "hold": "1d",\r\n  "hold": "2d // a, }",\r\n}\r\n// two\r\n';
    expect(read(text).values).toEqual({ hold: '2d // a, }' });
    expect(read('{\n  // "hold": "1d",\n}\n').values).toEqual({});
    expect(read('{"hold": "1d", // one\n "rules": ["hold",] /* two */}').values).toEqual({
      hold: '1d',
      rules: ['hold'],
    });
  });

  test.each([
    ['two commas', '{"hold": "1d",,}'],
    ['a list', '["hold"]'],
    ['nothing', ''],
    ['something behind it', '{"hold": "1d"} {}'],
  ])('may not have %s', (_what, text) => {
    expect(() => read(text)).toThrow(/undrop\.conf: /);
  });

  test('has each setting once', () => {
    const text = '{\n  "hold": "7d",\n  "rules": ["hold"],\n  "hold": "1d"\n}';
    expect(problemsOf(() => read(text))).toEqual([
      expect.stringMatching(
        /undrop\.conf: expected each setting once, found hold at line 2, column 3, and at line 4, column 3\.$/,
      ),
    ]);
  });

  test('shows nothing of a mistake but its place, because it may be in the password', () => {
    const text = '{\n  "user": "app",\n  "password": s3cret\n}\n';
    const [problem = ''] = problemsOf(() => read(text));
    expect(problem).toMatch(/undrop\.conf: line 3, column 15: expected JSON \(invalid symbol\)\.$/);
    expect(problem).not.toMatch(/s3cret|assword/);
  });

  test('names the line and column of a mistake, of a wrong value, and of a wrong key', () => {
    const text = '// {\n{\n  // "hold": "1d",\n  "hold": "2d"\n  "grace": "1s"\n}\n';
    expect(() => read(text)).toThrow(
      /undrop\.conf: line 5, column 3: expected JSON \(comma expected\)\./,
    );
    const file = read(
      '{\n  "rules": ["app.*: now", "app.*: never"],\n  "hodl": "1d", "hold": "1 day"\n}',
    );
    const problems = problemsOf(() => load({ file })).join('\n');
    expect(problems).toMatch(/rules in \S+undrop.conf, line 2, column 3: rule 2, `app\.\*: never`/);
    expect(problems).toMatch(/hodl in \S+undrop\.conf, line 3, column 3 is not a setting/);
    expect(problems).toMatch(/hold in \S+undrop\.conf, line 3, column 17: expected /);
  });
});
