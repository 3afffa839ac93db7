/** After the tests: stops what global-setup.ts started, and waits until it is gone. */
import { startedServers } from './global-setup.js';

export default async function tearDown(): Promise<void> {
  const servers = startedServers.undropServers ?? [];
  await Promise.all(servers.map((server) => server.stop()));
}
