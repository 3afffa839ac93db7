/** Of all errors that a server has, the questions take only those for a yes that mean it. */

import type { UserFacts, UserSession } from '../../../src/drop/steps/world.js';
import { UndropError } from '../../../src/errors.js';
import { SaidByServer } from '../../../src/faces/sql/bind.js';
import * as rights from '../../../src/faces/sql/rights.js';
import type { LedgerRow } from '../../../src/ledger/entry.js';
import { keyOf, type QualifiedTable } from '../../../src/names/names.js';
import { person } from '../../../src/recycle/asker.js';
import { decodeErr, encodeErr } from '../../../src/wire/response.js';
import * as ER from '../../../src/wire/server-errors.js';

const facts = { charset: 'utf8mb4' } as UserFacts;
type Ask = (asked: rights.RightsAsker) => Promise<unknown>;
type Question = Omit<rights.RightsAsker, 'session'>;
const question: Question = { facts, dropId: 'abc' };
const name = { schema: 'd', table: 't' };
const ALL = [...new Set(Object.values(ER).filter((one) => typeof one === 'number'))];

const errorOf = (errno: number) =>
  decodeErr(encodeErr({ errno, sqlState: 'HY000', message: Buffer.from(`${errno}`) }));

/** The answer to each question by what it begins with; what isn't named is not asked. */
async function run<T>(
  ask: (asked: rights.RightsAsker) => Promise<T>,
  answers: Readonly<Record<string, number>>,
  more: Partial<Question> = {},
) {
  const texts: string[] = [];
  const session: UserSession = {
    run: async (commands) =>
      commands.map((command) => {
        if (command.kind === 'close') throw new Error('nothing is open');
        const text = Buffer.from(command.text).toString();
        texts.push(text);
        const step = /undrop ([a-z-]+)/.exec(text)?.[1] ?? '';
        const column = / DROP COLUMN /.test(text) ? '-column' : '';
        const errno = answers[`${step}${column}`];
        if (errno === undefined) throw new Error(`nobody asks ${step}`);
        return errorOf(errno);
      }),
  };
  const said = await ask({ ...question, ...more, session }).catch((error: unknown) => {
    if (error instanceof SaidByServer) return error.said;
    throw error;
  });
  return { said, texts };
}

const YES = {
  ...{ 'may-create': ER.DUP_FIELDNAME, 'may-fill': ER.BAD_FIELD_ERROR },
  ...{ 'may-rename': ER.NO_SUCH_TABLE, 'may-rename-column': ER.NO_SUCH_TABLE },
  ...{ 'may-view': ER.BAD_FIELD_ERROR, 'wait-for-lock': ER.NO_SUCH_TABLE, kind: ER.NO_SUCH_TABLE },
};

async function yesesOf(key: keyof typeof YES, ask: Ask) {
  const yeses: number[] = [];
  for (const errno of ALL) {
    const { said } = await run(ask, { ...YES, [key]: errno });
    if (said === null) yeses.push(errno);
    else
      expect(said instanceof UndropError || (said as { errno: number }).errno === errno).toBe(true);
  }
  return yeses.toSorted((one, other) => one - other);
}

describe('the questions', () => {
  const toCreate: Ask = (asked) => rights.askToCreate(name, asked);
  const toRename: Ask = (asked) => rights.askToRename(name, asked);
  const toSwap: Ask = (asked) => rights.askToSwap(name, asked);
  const forSchema: Ask = (asked) => rights.askForSchema({ schema: 'd', to: 'd' }, asked);

  test('are all asked, and a yes to each is a yes', async () => {
    expect((await run(toCreate, YES)).said).toBeNull();
    expect((await run(toRename, YES)).said).toBeNull();
    expect((await run(toSwap, YES)).said).toBeNull();
    const { texts } = await run(forSchema, YES);
    expect(texts).toEqual([
      'CREATE /* undrop may-create abc */ TABLE `d`.`_undrop_none_abc` (`_undrop_none_abc` INT, `_undrop_none_abc` INT)',
      'CREATE /* undrop may-fill abc */ TABLE `d`.`_undrop_none_abc` SELECT `_undrop_none_abc`',
      'CREATE /* undrop may-view abc */ VIEW `d`.`_undrop_none_abc` AS SELECT `_undrop_none_abc`',
    ]);
    const other = await run((asked) => rights.askForSchema({ schema: 'd', to: 'e' }, asked), YES);
    expect(other.texts.filter((text) => text.includes('`e`'))).toHaveLength(2);
    expect(other.texts.filter((text) => text.startsWith('ALTER'))).toHaveLength(2);
  });

  test.each<[keyof typeof YES, Ask, readonly number[]]>([
    // The duplicate, the table that is there, or the schema that is not.
    ['may-create', toCreate, [1049, 1050, 1060]],
    ['may-fill', toCreate, [1054]],
    ['may-view', forSchema, [1054]],
    // No such partition, column, table or schema.
    ['may-rename', toRename, [1049, 1146, 1347, 1505, 1507, 1508, 1512, 1735]],
    ['may-rename-column', toRename, [1049, 1091, 1146, 1347]],
    ['wait-for-lock', toSwap, [1049, 1146, 1505, 1735]],
  ])('%s: no other error is a yes', async (key, ask, yeses) => {
    expect(await yesesOf(key, ask)).toEqual(yeses);
  });
});

test('what may be seen is nothing of what can’t be asked for; any other error is the answer', async () => {
  for (const errno of ALL) {
    const { said } = await run((asked) => rights.askWhichMayBeSeen([name], asked), {
      'may-fill': errno,
    });
    const isDenied = [...ER.ACCESS_DENIED, ...ER.BAD_NAME].includes(errno);
    if (isDenied) expect(said).toEqual(new Set());
    else if (errno === 1054) expect(said).toEqual(new Set([keyOf(name)]));
    else expect(said).toMatchObject({ errno });
  }
  const latin1 = { facts: { charset: 'latin1' } as UserFacts };
  const { said, texts } = await run(
    (asked) => rights.askWhichMayBeSeen([{ schema: 'd', table: 'ä' }], asked),
    YES,
    latin1,
  );
  expect([said, texts.some((text) => text.includes('ä'))]).toEqual([new Set(), false]);
});

const rows = ['d.t', 'd.u', 'e.t', 'd.t'].map((name, at) => {
  const [schema = '', table = ''] = name.split('.');
  return { id: String(at), schema, table } as LedgerRow;
});

async function filterd(may: (name: QualifiedTable) => boolean, own?: string) {
  const asked: string[] = [];
  const asker = person(
    async (names) => {
      asked.push(...names.map(({ schema, table }) => `${schema}.${table.slice(0, 8)}`));
      return new Set(names.filter(may).map(keyOf));
    },
    { queued: (work) => work(), isOwn: ({ id }) => id === own },
  );
  const filter = asker.filter();
  const seen = [...(await filter(rows)), ...(await filter(rows.slice(0, 1)))];
  return { asked, seen: seen.map(({ id, isStatementHidden = false }) => [id, isStatementHidden]) };
}

test('each schema is asked about once, and a table only if its schema is denied', async () => {
  const whole = await filterd(() => true);
  expect(whole.asked).toEqual(['mysql._undrop_', 'd._undrop_', 'e._undrop_']);
  expect(whole.seen).toEqual([0, 1, 2, 3, 0].map((id) => [`${id}`, false]));
  const none = await filterd(() => false, '1');
  expect([none.asked.slice(3), none.seen]).toEqual([['mysql.user', 'd.t', 'e.t'], [['1', false]]]);
  const some = await filterd(({ schema, table }) => schema === 'd' && table === 't');
  expect(some.seen).toEqual([0, 3, 0].map((id) => [`${id}`, true]));
});
