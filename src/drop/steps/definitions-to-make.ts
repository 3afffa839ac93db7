/**
 * Reads which triggers of restored tables, and which views and programs of a restored schema, are
 * missing, as statements for a session that may create them (make-definitions.ts): in the bytes of
 * their own charset, and with the names of their schema if the session has another one.
 */

import { tolerantly } from '../../connections/errors.js';
import { renderQuery, type ServicePool } from '../../connections/sql.js';
import {
  inCharset,
  qualifiedStatementOf,
  setModes,
  statementOf,
} from '../../held/triggers/definition.js';
import { findMissing } from '../../held/triggers/reattach-triggers.js';
import type { LedgerRow } from '../../ledger/entry.js';
import { findRows } from '../../ledger/read.js';
import { inOrder, type SchemaPart } from '../../ledger/schema-details.js';
import { findDroppedSchemas, readDetails } from '../../ledger/schema-restores.js';
import { isRestored } from '../../recycle/rename-back.js';
import type { UndoneSchema } from '../../recycle/schema/restore-schema.js';
import * as schemaParts from '../../recycle/schema/schema-parts.js';
import type { DefinitionToMake } from './make-definitions.js';
import type { UserFacts } from './world.js';

/** `rows`: with their texts. None if they are of drops that the session would log otherwise. */
export async function triggersToMake(
  pool: ServicePool,
  rows: readonly LedgerRow[],
  facts: UserFacts,
): Promise<readonly DefinitionToMake[]> {
  const all: DefinitionToMake[] = [];
  for (const row of rows) {
    const missing = row.sqlLogBin === facts.logged ? await findMissing(pool, row) : null;
    // Another table may have its name.
    if (missing === null || !(await isRestored(pool, row, missing.at))) continue;
    const { at, triggers } = missing;
    const isNear = facts.schema === at.schema;
    for (const trigger of triggers) {
      const create = isNear
        ? await statementOf(pool, trigger, at.table)
        : await qualifiedStatementOf(pool, trigger, at);
      // Triggers after it would fire before it.
      if (create === null) break;
      const set = Buffer.from(renderQuery(setModes(trigger, row.id)));
      all.push({ group: `${row.id} ${trigger.event}`, set, create });
    }
  }
  return all;
}

/**
 * For tables that a failed drop has put back, or a restore of its schema; none if it can't be read.
 */
export async function triggersOfDrop(
  pool: ServicePool,
  { dropId, facts }: { readonly dropId: string; readonly facts: UserFacts },
): Promise<readonly DefinitionToMake[]> {
  const { value } = await tolerantly(async () => {
    const rows = await findRows(pool, { by: 'triggers', dropId });
    return triggersToMake(pool, rows.toReversed(), facts);
  });
  return value;
}

/**
 * Triggers, views and programs that a restored schema lacks; none if they can't be read, or if the
 * session would log them otherwise than the drop.
 */
export async function definitionsOfSchema(
  pool: ServicePool,
  { id, dropId, schema, parts }: Pick<UndoneSchema, 'id' | 'dropId' | 'schema' | 'parts'>,
  facts: UserFacts,
): Promise<readonly DefinitionToMake[]> {
  const triggers = await triggersOfDrop(pool, { dropId, facts });
  const missing = new Set(parts.filter(({ isMissing }) => isMissing).map(schemaParts.partKey));
  if (missing.size === 0) return triggers;
  const { value } = await tolerantly(async () => {
    const [drop] = await findDroppedSchemas(pool, { dropId });
    if (drop?.sqlLogBin !== facts.logged) return [];
    const details = await readDetails(pool, id);
    const all: DefinitionToMake[] = [];
    for (const part of inOrder(details.parts)) {
      if (!missing.has(schemaParts.partKey(part))) continue;
      // Its charset may lack a character of it.
      const how = { id, schema, facts };
      const { value: made } = await tolerantly(() => definitionOf(pool, part, how));
      all.push(...made);
    }
    return all;
  });
  return [...triggers, ...value];
}

/** For a session that may create it; none if its name isn't found in the text. */
export async function definitionOf(
  pool: ServicePool,
  part: SchemaPart,
  { id, schema, facts }: Pick<UndoneSchema, 'id' | 'schema'> & { readonly facts: UserFacts },
): Promise<readonly DefinitionToMake[]> {
  const { statement, characterSetClient: charset = 'utf8mb4' } = part;
  const text = facts.schema === schema ? statement : schemaParts.qualifiedPart(schema, part);
  if (text === null) return [];
  const bytesOf = (query: string) => inCharset(pool, query, charset);
  const probes: Buffer[] = [];
  for (const probe of schemaParts.isRoutine(part) ? schemaParts.probesOf(schema, id) : []) {
    probes.push(await bytesOf(renderQuery(probe)));
  }
  const set = Buffer.from(renderQuery(schemaParts.partSettings(part)));
  return [{ group: schemaParts.partKey(part), set, create: await bytesOf(text), probes }];
}
