/**
 * All that the commands of undrop load of the demo. In the product this is `demo.mjs` beside
 * `undrop.mjs` (scripts/bundle.mjs), because a proxy needs none of it.
 */
import { createConnection } from 'mysql2/promise';
import { tryCommand } from '../throwaway-servers/run-command.js';
import { commandName } from './program.js';
import { SHOP_SCHEMA } from './shop.js';
import { findDemo } from './state.js';
import { runTour } from './tour.js';

export { runDemo } from './run-demo.js';
export { findDemo } from './state.js';

/**
 * `undrop demo --tour`. Only beside a demo of this very OS account, because the tour drops tables.
 * Resolves to the exit code.
 */
export async function runTourOfDemo({
  env,
  write,
}: {
  readonly env: NodeJS.ProcessEnv;
  readonly write: (text: string) => void;
}): Promise<number> {
  const demo = await findDemo();
  if (demo === null) {
    write(
      'No demo of your account runs on this machine:\ntype `npm start` in another terminal first.\n',
    );
    return 1;
  }
  const mode = demo.variables['UNDROP_MODE'];
  if (mode !== 'hold') {
    write(
      `UNDROP_MODE of the demo is ${mode}: undrop would hold no table, so the tour drops none.\n`,
    );
    return 1;
  }
  const { host, port } = demo.proxy;
  const ending = new AbortController();
  process.once('SIGINT', () => ending.abort());
  const connection = await createConnection({ host, port, user: demo.user });
  try {
    write(`Connected to ${host}:${port}, in front of ${demo.server}.\n`);
    const [program = '', main = ''] = process.argv;
    const variables = { ...env, ...demo.variables } as Record<string, string>;
    return await runTour({
      ...{ connection, schema: SHOP_SCHEMA, write, commandName: commandName() },
      command: (args) => tryCommand([program, main, ...args], { env: variables }),
      signal: ending.signal,
    });
  } finally {
    connection.destroy();
  }
}
