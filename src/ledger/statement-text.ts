/** The statement that dropped a table, as the ledger has it. */

/** Of 4,096 characters, however long they are. */
const STATEMENT_TEXT_BYTES_MAX = 16_384;

/** As much of a statement as an intent has of it. */
export function statementTextOf(text: Uint8Array): string {
  return Buffer.from(text.subarray(0, STATEMENT_TEXT_BYTES_MAX)).toString();
}
