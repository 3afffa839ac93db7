/** Names of the tables of ours that can't be dropped: see ledger/guards.ts. */

/** Parents of one statement that can be asked for. */
export const GUARDS_MAX = 8;

/** Refers to all of them. */
export const GUARD_CHILD = 'guard_child';

export function guardName(index: number): string {
  return `guard_${index + 1}`;
}

/** MySQL before 8 says more of a parent than an error. */
export function hasGuards(server: {
  readonly flavour: 'mysql' | 'mariadb';
  readonly versionId: number;
}): boolean {
  return server.flavour === 'mysql' && server.versionId < 80_000;
}
