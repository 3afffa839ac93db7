/** What a session is given by the listener that let its client in. */
import type { Socket } from 'node:net';
import type { Log } from '../log.js';
import type { Counters } from '../metrics.js';
import type { ByteStream } from '../relay/byte-stream.js';
import type { ServerAddress } from '../service/pool/pools.js';
import type { DropService } from '../statements/intercepted.js';
import type { Dialled } from './dial/dial.js';
import type { ProxyTls } from './login/tls.js';

export interface SessionOptions {
  readonly client: Socket;
  /** Its bytes; not read yet. */
  readonly clientStream: ByteStream;
  readonly clientAddress: string;
  /** Milliseconds that the client may take for each answer of its login. */
  readonly loginTimeoutMs: number;
  readonly tls: ProxyTls;
  readonly log: Log;
  readonly counters: Counters;
  /** Stops trying further addresses when `signal` is aborted. */
  dial(signal: AbortSignal): Promise<Dialled>;
  /** The service for the address that was dialled. */
  serviceFor(dialled: Dialled): DropService;
  /** Work that goes on after the answer; a shutdown waits for it. */
  background(work: Promise<void>): void;
  /**
   * The login there ended in a way that the server may count (session/dial/reset-host-errors.ts).
   */
  onBrokenLogin(address: ServerAddress): void;
  /** Tables were held, and the ledger has it. */
  onHeld(): void;
  /** The session is over. */
  onClose(): void;
}
