/**
 * The ways of a drop, by what brings it: put together here, as some of them come back to others.
 */
import { runTruncate } from '../drop/run-truncate.js';
import { dropOrPass } from './drop-or-pass.js';
import { type Carriers, refused } from './intercept.js';
import { dynamic, setStatement } from './intercept-dynamic.js';
import { prepareDrop } from './intercept-prepared.js';
import { dropOf, replaceTable } from './intercept-replace.js';
import { dropSchema } from './intercept-schema.js';
import type { PreparedDrops } from './prepared-drops.js';
import { listTables, notDone, schemaAndTables } from './refusals.js';

/**
 * `prepared`: where a session's drops are remembered; null for a statement that isn't alone in its
 * packet, whose drops by these ways are refused.
 */
export function carriersOf(prepared: PreparedDrops | null): Carriers {
  return {
    table: dropOrPass,
    prepare: (taken, statement, options) =>
      prepared === null
        ? refused(notDone('by a prepared statement', listTables(statement.names)), options)
        : prepareDrop(taken.text, { statement }, { ...options, prepared }),
    dynamic: (taken, verdict, options) => dynamic(taken, verdict, { ...options, prepared }),
    setStatement: (taken, wrapped, options) =>
      setStatement(taken, wrapped, { ...options, prepared }),
    schema: (taken, named, options) => {
      if (taken.carrier !== 'prepare') return dropSchema(taken, named, options);
      const { schema, ifExists, optionsAt } = named;
      const how = `by a prepared ${optionsAt === undefined ? 'statement' : 'CREATE OR REPLACE'}`;
      return prepared === null || optionsAt !== undefined
        ? refused(notDone(how, schemaAndTables(schema)), options)
        : prepareDrop(taken.text, { statement: { schema, ifExists } }, { ...options, prepared });
    },
    empty: runTruncate,
    replace: (taken, replacing, options) => {
      if (taken.carrier !== 'prepare') return replaceTable(taken, replacing, options);
      const { replacement } = replacing;
      const statement = dropOf(replacement);
      return prepared === null
        ? refused(notDone('by a prepared statement', listTables(statement.names)), options)
        : prepareDrop(taken.text, { statement, replacement }, { ...options, prepared });
    },
  };
}
