/**
 * Recoveries of one process one after another: its start recovers, and so does its collector. Two
 * at once are safe for the tables, but each may drop the key of a child that the other has just
 * led back to its parent's name, and where the server is busy neither gets to add it again.
 */
export function inTurn<Args extends readonly unknown[], Result>(
  work: (...args: Args) => Promise<Result>,
): (...args: Args) => Promise<Result> {
  let last: Promise<unknown> = Promise.resolve();
  return (...args) => {
    const turn = last.then(() => work(...args));
    last = turn.catch(() => undefined);
    return turn;
  };
}
