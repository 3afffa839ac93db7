/**
 * What the server remarks on the client's text itself, as on comments that it will not take for
 * ever: a statement of ours that has such a comment in it draws the same warning. Pure.
 */
import type { Result } from '../wire/result-reader.js';

/** ER_WARN_DEPRECATED_SYNTAX_NO_REPLACEMENT, of a comment in a comment. */
const NESTED_COMMENT = /^1681 (?!'\$)/;
/** ER_WARN_NO_SPACE_VERSION_COMMENT. */
const NO_SPACE = /^4164 /;
/** No text has more of them that is meant to be read. */
const REMARKS_MAX = 64;

/** How many warnings the server has on a text that it was to prepare. */
export function countRemarks(judge: Result | null): number {
  return judge?.kind === 'prepared' && judge.payload.length >= 12
    ? judge.payload.readUInt16LE(10)
    : 0;
}

/** What draws those of `warnings`, the answer to SHOW WARNINGS, into another statement. */
export function remarksOf(warnings: Result): string {
  if (warnings.kind !== 'rows') return '';
  return warnings.rows
    .slice(0, REMARKS_MAX)
    .map(([, code, text]) => drawing(`${ascii(code)} ${ascii(text)}`))
    .join('');
}

function drawing(remark: string): string {
  if (NESTED_COMMENT.test(remark)) return ' /*! /* undrop */ */';
  return NO_SPACE.test(remark) ? ' /*!50000*/' : '';
}

/** Under character_set_results=utf16 and the like NULs stand between the letters. */
function ascii(bytes: Buffer | null | undefined): string {
  return Buffer.from(bytes?.filter((byte) => byte !== 0) ?? []).toString('latin1');
}
