/**
 * A walk through rows of the ledger in the order of their ids, page by page, whose reader may stop
 * behind any of them and go on there later. At its end it begins anew.
 */
export interface LedgerCursor {
  /** The id behind which the next page begins; null: at the beginning. */
  behind: string | null;
}

/** `page` was read, with room for `rowsMax`. True: there may be another. */
export function nextPage(
  walk: LedgerCursor,
  page: readonly { readonly id: string }[],
  rowsMax: number,
): boolean {
  walk.behind = page.length < rowsMax ? null : (page.at(-1)?.id ?? null);
  return walk.behind !== null;
}
