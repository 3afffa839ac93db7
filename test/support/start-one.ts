/**
 * A program for tests: starts one server of the set, prints where it is, and waits to be killed.
 */
import { SERVER_NAMES, startFromSet } from './server-set.js';

const name = SERVER_NAMES.find((one) => one === process.argv[2]) ?? 'mysql-9.7';
const { folder, port } = await startFromSet(name);
process.stdout.write(JSON.stringify({ folder, port }));
setInterval(() => undefined, 60_000);
