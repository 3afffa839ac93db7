/**
 * Limits the tries to sign in that reach the server: 5 failed ones a minute for one account from an
 * address, and 20 from an address. The rest is refused here, so that nobody locks an account of the
 * server, or guesses its password, through undrop.
 *
 * Invariant: while tries are under way, no more than could fail within the limit are begun; others
 * wait for the outcome of these, and of one address so many that they can't take all places.
 */

const WINDOW_MS = 60_000;
const OF_ACCOUNT_MAX = 5;
const OF_ADDRESS_MAX = 20;
const WAITING_OF_ADDRESS_MAX = 24;
/** More addresses than this are forgotten, the oldest first. */
const ADDRESSES_MAX = 10_000;
/** The first groups of an IPv6 address: one network has all addresses below. */
const NETWORK_GROUPS = 4;

interface Try {
  readonly account: string;
  readonly atMs: number;
  hasFailed: boolean;
}

export interface SignInTry {
  /** With its outcome: exactly once. */
  end(outcome: 'refused' | 'not refused'): void;
}

export class SignInTries {
  readonly #nowMs: () => number;
  /** Failed ones, and those under way, by the address. */
  readonly #tries = new Map<string, Try[]>();
  #waiting: { readonly key: string; readonly resolve: () => void }[] = [];

  /** `nowMs`: a clock that doesn't go back. */
  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** Resolves when the try may begin; to null if too many have failed, or wait. */
  async begin(address: string, account: string): Promise<SignInTry | null> {
    const key = networkOf(address);
    for (;;) {
      const atMs = this.#nowMs();
      const recent = (this.#tries.get(key) ?? []).filter(
        (one) => !one.hasFailed || atMs - one.atMs < WINDOW_MS,
      );
      const ofAccount = recent.filter((one) => one.account === account);
      if (ofAccount.length < OF_ACCOUNT_MAX && recent.length < OF_ADDRESS_MAX) {
        const mine = { account, atMs, hasFailed: false };
        this.#keep(key, [...recent, mine]);
        return { end: (outcome) => this.#end(key, mine, outcome) };
      }
      const failed = (tries: readonly Try[]) => tries.filter(({ hasFailed }) => hasFailed).length;
      if (failed(ofAccount) >= OF_ACCOUNT_MAX || failed(recent) >= OF_ADDRESS_MAX) return null;
      const before = this.#waiting.filter((one) => one.key === key).length;
      if (before >= WAITING_OF_ADDRESS_MAX) return null;
      await new Promise<void>((resolve) => this.#waiting.push({ key, resolve }));
    }
  }

  #end(key: string, mine: Try, outcome: Parameters<SignInTry['end']>[0]): void {
    mine.hasFailed = outcome === 'refused';
    const tries = this.#tries.get(key) ?? [];
    const left = mine.hasFailed ? tries : tries.filter((one) => one !== mine);
    if (left.length === 0) this.#tries.delete(key);
    else this.#keep(key, left);
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { resolve } of waiting) resolve();
  }

  /** The address of the newest try is the last in the map. */
  #keep(key: string, tries: Try[]): void {
    this.#tries.delete(key);
    this.#tries.set(key, tries);
    const [oldest] = this.#tries.keys();
    if (this.#tries.size > ADDRESSES_MAX && oldest !== undefined) this.#tries.delete(oldest);
  }
}

function networkOf(address: string): string {
  const plain = address.replace(/^::ffff:(?=\d+\.)/, '');
  if (!plain.includes(':')) return plain;
  const [start = '', end] = plain.split('::');
  const [first, last] = [start, end ?? ''].map((part) => part.split(':').filter(Boolean));
  const zeros = 8 - (first?.length ?? 0) - (last?.length ?? 0);
  const groups = [...(first ?? []), ...Array.from({ length: zeros }, () => '0'), ...(last ?? [])];
  return groups.slice(0, NETWORK_GROUPS).join(':');
}
