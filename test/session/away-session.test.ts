/** Statements of a drop that is executed away from where it was prepared; the server is made up. */
import { describe, expect, test } from '@jest/globals';
import { factsSql } from '../../src/drop/facts.js';
import { AwaySession } from '../../src/session/away-session.js';
import type { SessionCommand } from '../../src/session/user-session.js';
import type { Result } from '../../src/wire/result-reader.js';
import { errResult, okResult, preparedResult, rowsResult } from '../support/results.js';

const server = { flavour: 'mysql', versionId: 90_704 } as const;
const FACTS = { kind: 'query', text: factsSql(server) } as const;
const query = (text: string) => ({ kind: 'query', text: Buffer.from(text) }) as const;

/** A session in `schema`, whose answers to what isn't named here are errors with that text. */
function sessionIn(schema: string | null, { gtidNext = 'AUTOMATIC', unknown = '' } = {}) {
  const told: string[] = [];
  const answer = (said: string): Result => {
    if (said.startsWith('SELECT /* undrop facts')) {
      const columns = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i'];
      return rowsResult(columns, [schema, '', 'utf8', '1', gtidNext, 'me', 'a@b', '1', '1']);
    }
    if (said.startsWith('PREPARE')) return preparedResult(7);
    const isGone = unknown !== '' && said === `2 ${unknown}`;
    if (said.startsWith('2 ')) return isGone ? errResult(1049, '42000', said) : okResult();
    return errResult(1242, '21000', said);
  };
  const run = async (commands: readonly SessionCommand[]): Promise<readonly Result[]> => {
    told.push(commands.map(describeCommand).join(' | '));
    return commands.flatMap((one) => (one.kind === 'close' ? [] : [answer(describeCommand(one))]));
  };
  return { told, inner: { run } };
}

function describeCommand(command: SessionCommand): string {
  switch (command.kind) {
    case 'query':
      return Buffer.from(command.text)
        .toString()
        .replace(/\/\*\+.*?\*\/ /, '')
        .slice(0, 22);
    case 'prepare':
      return `PREPARE ${Buffer.from(command.text)}`;
    case 'close':
      return `CLOSE ${command.statementId}`;
    case 'packet':
      return `${command.payload[0]} ${command.payload.subarray(1).toString('latin1').slice(0, 2)}`;
  }
}

describe('a statement that was prepared in another schema', () => {
  test('has one that fails before each that may be the last', async () => {
    const { told, inner } = sessionIn('d2');
    const session = new AwaySession(inner, { preparedIn: 'd1' });
    await session.run([FACTS]);
    const results = await session.run([query('RENAME a'), query('RENAME b')]);
    await session.close();
    expect(results.map((one) => one.kind === 'err' && one.message.toString())).toEqual([
      'RENAME a',
      'RENAME b',
    ]);
    expect(told).toEqual([
      'SELECT /* undrop facts',
      '2 d1 | PREPARE DO /* undrop away */ (SELECT 1 UNION SELECT 2) | 2 d2',
      'RENAME a | 23 \x07\x00 | RENAME b',
      'CLOSE 7',
    ]);
  });

  test('has nothing beside it where that schema is gone', async () => {
    const { told, inner } = sessionIn('d2', { unknown: 'd1' });
    const session = new AwaySession(inner, { preparedIn: 'd1' });
    await session.run([FACTS]);
    await session.run([query('RENAME a')]);
    await session.close();
    expect(told.slice(2)).toEqual(['CLOSE 7', 'RENAME a']);
  });

  test('ends the session where it can’t go back', async () => {
    const { inner } = sessionIn('d2', { unknown: 'd2' });
    const session = new AwaySession(inner, { preparedIn: 'd1' });
    await session.run([FACTS]);
    await expect(session.run([query('RENAME a')])).rejects.toThrow('could not go back');
  });
});

test.each([
  ['in the same schema', 'd1', {}],
  ['without a schema', null, {}],
  ['in one whose name is not the same in every charset', 'dä', {}],
  ['with a GTID of its own', 'd2', { gtidNext: 'aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa:1' }],
])('%s nothing is said beside', async (_, schema, options) => {
  const { told, inner } = sessionIn(schema, options);
  const session = new AwaySession(inner, { preparedIn: 'd1' });
  await session.run([FACTS]);
  await session.run([query('RENAME a')]);
  await session.close();
  expect(told).toEqual(['SELECT /* undrop facts', 'RENAME a']);
});
