/**
 * A session that sends statement texts as bytes, whatever they are: no driver does, as each encodes
 * text by a charset of its own. For accounts without a password. Invariant: every answer is read to
 * its end, all results of a multi-statement text included.
 */
import { CLIENT, RawClient, type RawResult } from '../support/raw-client.js';

/** utf8_general_ci */
const COLLATION_UTF8 = 33;

/** What one statement was answered with. */
export interface Answer {
  /** 0 for OK and for a result set. */
  readonly errno: number;
  readonly message: string;
  /** The rows of a text result set, a cell as latin1 text. */
  readonly rows: readonly (readonly (string | null)[])[];
}

export class RawSession {
  readonly #client: RawClient;

  private constructor(client: RawClient) {
    this.#client = client;
  }

  static async open(
    target: { readonly host: string; readonly port: number; readonly user: string },
    multiStatements: boolean,
  ): Promise<RawSession> {
    const flags = multiStatements ? CLIENT.MULTI_STATEMENTS : 0;
    return new RawSession(await RawClient.open(target, { flags, collation: COLLATION_UTF8 }));
  }

  /** Sends one text; hands back an answer for each statement that the server came to. */
  async query(text: Uint8Array | string): Promise<readonly Answer[]> {
    return (await this.#client.query(text)).results.map(answerOf);
  }

  close(): void {
    this.#client.close();
  }
}

function answerOf(result: RawResult): Answer {
  if (result.kind === 'err') {
    return { errno: result.errno, message: result.message.toString('latin1'), rows: [] };
  }
  const rows = result.kind === 'rows' ? result.rows : [];
  const latin1 = rows.map((row) => row.map((cell) => cell?.toString('latin1') ?? null));
  return { errno: 0, message: '', rows: latin1 };
}
