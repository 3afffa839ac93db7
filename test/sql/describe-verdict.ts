/** Verdicts as one line of text, for tables of cases and for messages. Names are latin1 text. */

import type { TableName } from '../../src/sql/grammar/table-name.js';
import type { LexMode } from '../../src/sql/lex/lex-mode.js';
import type { Verdict } from '../../src/sql/verdict.js';

/** The servers of the test set, as their versions are counted. */
export const SERVER_MODES = {
  'mysql-9.7': { flavour: 'mysql', versionId: 90704 },
  'mysql-5.6': { flavour: 'mysql', versionId: 50624 },
  'mariadb-10.11': { flavour: 'mariadb', versionId: 101118 },
  'mariadb-11.8': { flavour: 'mariadb', versionId: 110809 },
} as const;

export type ServerKey = keyof typeof SERVER_MODES;

/** A fully known mode of a server, plain unless `mode` says otherwise. */
export function lexMode(server: ServerKey, mode: Partial<LexMode> = {}): LexMode {
  return {
    ...SERVER_MODES[server],
    ansiQuotes: false,
    noBackslashEscapes: false,
    squareBrackets: false,
    charset: 'plain',
    ...mode,
  };
}

/** `refused/multi-statement t1 t2 [drop-table t1; drop-table t2 if-exists]`. */
export function describeVerdict(verdict: Verdict | { readonly kind: 'disagree' }): string {
  switch (verdict.kind) {
    case 'not-ours':
    case 'disagree':
    case 'unclear':
      return verdict.kind;
    case 'drop-definition':
      return `drop-${verdict.object.toLowerCase()} ${verdict.names.map(nameText).join(' ')}`;
    case 'undo':
      return `undo/${verdict.statement.kind}`;
    case 'recycle-schema-write':
      return `recycle-schema-write/${verdict.how}`;
    case 'drop-table': {
      const { empties, partitions, names, object, ifExists, wait, isDoubtful } = verdict.statement;
      const dropped = `drop-${partitions ? 'partition' : object}`;
      return [
        `${empties ? 'truncate' : dropped} ${names.map(nameText).join(' ')}`,
        ifExists ? 'if-exists' : '',
        wait?.kind === 'wait' ? `wait ${wait.text}` : (wait?.kind ?? ''),
        isDoubtful ? 'doubtful' : '',
        verdict.isRecycled === true ? 'recycled' : '',
      ]
        .filter(Boolean)
        .join(' ');
    }
    case 'dynamic':
      return [
        `dynamic/${verdict.form}`,
        latin1(verdict.source.expression),
        ...(verdict.source.kind === 'variable' ? ['variable'] : []),
      ].join(' ');
    case 'refused': {
      const inside = verdict.statements.map((piece) => describeVerdict(piece.verdict));
      return [
        `refused/${verdict.form}`,
        ...verdict.tables.map(nameText),
        verdict.schema === null ? '' : `schema ${latin1(verdict.schema)}`,
        inside.length === 0 ? '' : `[${inside.join('; ')}]`,
      ]
        .filter(Boolean)
        .join(' ');
    }
  }
}

export function nameText(name: TableName): string {
  const table = latin1(name.table);
  return name.schema === null ? table : `${latin1(name.schema)}.${table}`;
}

export function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1');
}
