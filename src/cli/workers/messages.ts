/**
 * What the first process of a proxy and its workers say to each other. Plain records: they go
 * through a pipe as JSON.
 */
import type { Counters } from '../../metrics.js';
import type { ServerAddress } from '../../service/pool/pools.js';
import type { CertificateAndKey } from '../../session/login/certificates.js';
import type { ProxySettings } from '../proxy-settings.js';

export type ToWorker =
  /** The first thing that a worker hears. */
  | {
      readonly kind: 'start';
      readonly settings: ProxySettings;
      /** What clients see where no files say what; the same from all workers. */
      readonly ownCertificate: CertificateAndKey | null;
      /** Service connections of this worker, for one server. */
      readonly serviceConnectionsMax: number;
      readonly worker: number;
    }
  | {
      readonly kind: 'change';
      readonly settings: ProxySettings;
      readonly ownCertificate: CertificateAndKey | null;
    }
  /** The answer to the oldest request for a permit that has none. */
  | { readonly kind: 'permit'; readonly isAllowed: boolean }
  /** Another server has that address. */
  | { readonly kind: 'renew'; readonly address: ServerAddress }
  | { readonly kind: 'drain'; readonly waitMs: number; readonly timeoutMs: number }
  /** Whatever is still open ends now. */
  | { readonly kind: 'hurry' };

export type FromWorker =
  /** It hears what it is told from now on. */
  | { readonly kind: 'hello' }
  | {
      readonly kind: 'ready';
      readonly addresses: readonly ServerAddress[];
      readonly relay: 'raw' | 'stream';
    }
  /** It can't serve; it ends. */
  | { readonly kind: 'failed'; readonly cause: string }
  /** `cause`: why it goes on by the old settings, or null. */
  | { readonly kind: 'changed'; readonly cause: string | null }
  | { readonly kind: 'take' }
  | { readonly kind: 'give' }
  /** Tables were held. */
  | { readonly kind: 'held' }
  | { readonly kind: 'counters'; readonly counters: Counters };
