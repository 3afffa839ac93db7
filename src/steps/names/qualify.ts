/**
 * Every name of a RENAME is qualified, so that the binary log says where the table was; except
 * where the default schema can't be written in the client's charset by us: then it is the session's
 * own default schema, which the binary log names beside.
 */
import type { ErrPacket } from '../../wire/response.js';
import type { UserFacts } from '../request.js';
import type { QualifiedName } from '../session/user-session-sql.js';

export function qualify(name: QualifiedName, facts: UserFacts | ErrPacket): QualifiedName {
  if (name.schema !== null || 'errno' in facts || facts.schema === null) return name;
  const bytes = Buffer.from(facts.schema);
  const isWritable = facts.charset.startsWith('utf8') || bytes.every((byte) => byte < 0x80);
  return isWritable ? { schema: bytes, table: name.table } : name;
}
