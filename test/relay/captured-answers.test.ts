/**
 * That every kind of answer the protocol has is among the captured conversations, and that the
 * tracker is idle at its last byte and at none before. What response-tracker.test.ts goes through,
 * conversation by conversation, is here by kind, so that none gets lost with a new capture.
 */
import { describe, expect, test } from '@jest/globals';
import { ResponseTracker } from '../../src/relay/response-tracker.js';
import { singleBytes } from '../support/chunks.js';
import { conversations } from '../support/conversation.js';

const EOF = /\/eof$/;
const EOF_AND_NOT = /\/(eof|deprecate-eof)$/;
const OPTIONAL = /\/optional(-eof)?$/;
const CACHED = /\/cached(-eof)?$/;
const PROGRESS = /\/progress$/;

/** What it is of, in which conversations, and the titles of its exchanges, one behind the other. */
const KINDS: readonly (readonly [string, RegExp, string])[] = [
  [
    'result sets, text and binary, narrow and wide, long and empty (wire 34)',
    EOF_AND_NOT,
    'no rows | one row of two columns, one of them NULL | more rows than sequence ids | ' +
      'more columns than one byte counts | EXECUTE | EXECUTE with a parameter',
  ],
  [
    'errors at the start, behind a row and in the second statement (wire 36)',
    EOF_AND_NOT,
    'an ERR | a syntax error | an ERR behind a row | an error in the second statement | ' +
      'EXECUTE of an unknown statement',
  ],
  [
    'several results of a CALL, by text and prepared (wire 37)',
    EOF_AND_NOT,
    'two result sets and an OK | a CALL with two result sets | EXECUTE of a CALL',
  ],
  [
    'PREPARE with and without columns and parameters (wire 38)',
    EOF_AND_NOT,
    'PREPARE without columns and parameters | PREPARE of two parameters | ' +
      'PREPARE of columns | PREPARE of columns and a parameter | PREPARE that fails',
  ],
  [
    'PREPARE whose metadata is left out (wire 38)',
    OPTIONAL,
    'PREPARE without columns and parameters | PREPARE of two parameters | ' +
      'PREPARE of columns | PREPARE of columns and a parameter',
  ],
  [
    'cursors, and rows fetched to the last (wire 39)',
    EOF_AND_NOT,
    'EXECUTE with a cursor | FETCH of two rows | FETCH of the rest | ' +
      'FETCH without a cursor | EXECUTE',
  ],
  [
    'metadata that MySQL leaves out (wire 40)',
    OPTIONAL,
    'a result set with its metadata | a result set without metadata | ' +
      'no rows without metadata | EXECUTE',
  ],
  [
    'metadata that MariaDB has sent before, and bulk results (wire 40)',
    CACHED,
    'EXECUTE | BULK_EXECUTE | BULK_EXECUTE with a result for each row',
  ],
  ['reports of progress (wire 40)', PROGRESS, 'an ALTER that takes its time'],
  [
    'commands with answers of their own (wire 41)',
    EOF_AND_NOT,
    'COM_STATISTICS | COM_FIELD_LIST | COM_FIELD_LIST of a table that is missing | ' +
      'COM_SET_OPTION | COM_DEBUG | COM_PING | COM_PROCESS_INFO | STMT_RESET',
  ],
  [
    'commands without an answer, in a pipeline (wire 42)',
    EOF_AND_NOT,
    'SEND_LONG_DATA, which has no answer | ' +
      'CLOSE, which has no answer, and commands behind it in one write',
  ],
  ['an empty packet as a command (wire 43)', EOF_AND_NOT, 'an empty packet'],
  [
    'an upload, also of nothing and among other statements (wire 44)',
    EOF,
    'LOCAL INFILE of three packets, one of which looks like a command | ' +
      'LOCAL INFILE of nothing | LOCAL INFILE between two others',
  ],
  ['a wide OK (wire 45)', /^mysql-9\.7\/track$/, 'everything is tracked | a wide OK | its end'],
];

const all = conversations().map(({ name, agreed, exchanges }) => ({ name, agreed, exchanges }));

describe.each(KINDS)('%s', (_kind, which, titles) => {
  const some = all.filter(({ name }) => which.test(name));

  test('is in a conversation', () => {
    expect(some.length).toBeGreaterThan(0);
  });

  test.each(some)('of $name ends where it ends', ({ agreed, exchanges }) => {
    for (const title of titles.split(' | ')) {
      const found = exchanges.find((one) => one.title === title);
      if (found === undefined) throw new Error(`there is no "${title}"`);
      const tracker = new ResponseTracker(agreed);
      for (const command of found.commands) tracker.expect(command);
      const bytes = singleBytes(found.answer);
      const idleAt = bytes.flatMap((byte, at) => {
        tracker.feed(byte);
        return tracker.idle ? [at] : [];
      });
      expect({ title, idleAt }).toEqual({ title, idleAt: [bytes.length - 1] });
    }
  });
});
