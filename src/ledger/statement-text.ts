/** The statement that dropped a table, as the ledger has it. */

/** Of 4,096 characters, however long they are. */
const STATEMENT_TEXT_BYTES_MAX = 16_384;

const STATEMENT_CHARACTERS_MAX = 4_096;

/** As much of a statement as a row of the ledger has of it. */
export function cutStatement(text: string): string {
  return text.slice(0, STATEMENT_CHARACTERS_MAX);
}

/** As much of a statement as an intent has of it. */
export function statementTextOf(text: Uint8Array): string {
  return Buffer.from(text.subarray(0, STATEMENT_TEXT_BYTES_MAX)).toString();
}
