/**
 * The counters of all processes, for the control process, which reports them. The counts of a
 * process that has ended stay in the sum. The supervisor may be older than the programs that count,
 * so it knows no name of a counter: numbers are added; of a name that ends in `Max` the greatest
 * counts.
 */
import type { Child } from './child.js';
import type { CountersMessage, Sums, ToProcess } from './messages.js';

export class Totals {
  readonly #tell: (message: ToProcess) => void;
  readonly #of = new Map<Child, CountersMessage>();
  #past: Sums = {};

  constructor(tell: (message: ToProcess) => void) {
    this.#tell = tell;
  }

  set(child: Child, message: CountersMessage): void {
    this.#of.set(child, message);
    this.tellAll();
  }

  end(child: Child): void {
    const last = this.#of.get(child);
    if (last === undefined) return;
    this.#of.delete(child);
    const { counters, gauges } = last;
    const open = Object.fromEntries(gauges.map((name) => [name, 0]));
    this.#past = add(this.#past, { ...counters, ...open });
    this.tellAll();
  }

  sum(): Sums {
    return [...this.#of.values()].reduce((sum, { counters }) => add(sum, counters), this.#past);
  }

  tellAll(): void {
    this.#tell({ kind: 'counters', counters: this.sum() });
  }
}

function add(sum: Sums, more: Sums): Sums {
  const result: Record<string, number | Sums> = { ...sum };
  for (const [name, value] of Object.entries(more)) {
    const known = result[name];
    if (typeof value === 'object') {
      result[name] = add(typeof known === 'object' ? known : {}, value);
    } else {
      const before = typeof known === 'number' ? known : 0;
      result[name] = name.endsWith('Max') ? Math.max(before, value) : before + value;
    }
  }
  return result;
}
