/** After the tests: stops what global-setup.ts started, and waits until it is gone. */
import { starting } from './global-setup.js';

export default async function tearDown(): Promise<void> {
  await starting.undropStop?.();
}
