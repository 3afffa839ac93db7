import type { ServiceConnection } from '../service/pools.js';

/** later */
export async function pruneLedger(_c: ServiceConnection, _keepMs: number): Promise<void> {}
