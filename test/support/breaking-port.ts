/**
 * A port whose Nth call breaks, before it has done anything or after it has done all of it: what a
 * statement leaves behind then is for the test to look at.
 */

export class PortBroken extends Error {}

/** `call`: counted from 1. */
export type Break = { readonly call: number; readonly when: 'before' | 'after' };

export function breakingPort<P extends object>(port: P, breakAt: Break): P {
  let calls = 0;
  return new Proxy(port, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name, target);
      if (typeof member !== 'function') return member;
      return (...args: readonly unknown[]) => {
        const isAt = ++calls === breakAt.call;
        if (isAt && breakAt.when === 'before') throw new PortBroken(String(name));
        const result: unknown = Reflect.apply(member, target, args);
        if (!isAt) return result;
        const broken = new PortBroken(String(name));
        if (!(result instanceof Promise)) throw broken;
        return result.then(() => Promise.reject(broken));
      };
    },
  });
}

/** Breaks the first call, the second, and so on, before and after it, until a run is whole. */
export async function breakEach(run: (breakAt: Break) => Promise<'broken' | 'whole'>) {
  for (const when of ['before', 'after'] as const) {
    for (let call = 1; (await run({ call, when })) === 'broken'; ) call++;
  }
}
