/**
 * COM_CHANGE_USER where one leg is secure and the other isn't: its authentication needs the bridge
 * and the check (login-check.ts) as the login did. Otherwise it goes through unread, like any
 * command.
 * https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_change_user.html
 *
 * Invariant: it begins when nothing else is owed on the session, and ends with the server's OK or
 * ERR.
 */
import {
  type ComChangeUser,
  decodeComChangeUser,
  withChangeUserResponse,
} from '../../wire/connection/auth-packets.js';
import { encodePacket, type Packet, PacketAssembler } from '../../wire/framing.js';
import type { AuthBridge } from './auth-bridge.js';
import { AUTH_BYTES_MAX, AuthExchange, checkOrder } from './auth-exchange.js';
import type { LoginCheck } from './login-check.js';

export interface ChangeUserOptions {
  /** The client's command. */
  readonly packet: Packet;
  readonly bridge: AuthBridge;
  readonly check: LoginCheck | null;
  toClient(bytes: Buffer): void;
  toServer(bytes: Buffer): void;
  /** The server's OK or ERR went to the client. What either side sent beyond is handed over. */
  onDone(done: {
    readonly last: Buffer;
    readonly fromServer: Buffer;
    readonly fromClient: Buffer;
  }): void;
}

type State =
  /** The client has our key; its password comes next, and the command waits for that. */
  | { readonly name: 'password'; readonly nextToClient: number }
  | { readonly name: 'authentication'; readonly exchange: AuthExchange }
  | { readonly name: 'done' };

export class ChangeUser {
  readonly #options: ChangeUserOptions;
  readonly #command: ComChangeUser;
  readonly #fromServer = new PacketAssembler(AUTH_BYTES_MAX);
  readonly #fromClient = new PacketAssembler(AUTH_BYTES_MAX);
  #state: State = { name: 'done' };

  constructor(options: ChangeUserOptions) {
    this.#options = options;
    this.#command = decodeComChangeUser(options.packet.payload);
  }

  /** Default schema that the client asks for, in its charset. */
  get schema(): Buffer {
    return this.#command.schema;
  }

  /** Sequence id of an error of ours in the place of what would come next. */
  get nextToClient(): number {
    const state = this.#state;
    if (state.name === 'done') return 1;
    return state.name === 'password' ? state.nextToClient : state.exchange.nextToClient;
  }

  begin(): void {
    const { bridge, packet, toClient } = this.#options;
    const { plugin, authResponse } = this.#command;
    bridge.restart(plugin);
    const step = bridge.fromClientFirst(Buffer.from(authResponse));
    if (step.to === 'peer') return this.#send(step.payload, 1);
    const sequenceId = packet.sequenceId + 1;
    this.#state = { name: 'password', nextToClient: sequenceId + 1 };
    toClient(encodePacket(step.payload, sequenceId));
  }

  feedServer(chunk: Buffer): void {
    this.#fromServer.push(chunk);
    while (this.#state.name === 'authentication') {
      const packet = this.#fromServer.next();
      if (packet === null) return;
      if (this.#state.exchange.fromServer(packet)) this.#finish(this.#state.exchange);
    }
  }

  feedClient(chunk: Buffer): void {
    this.#fromClient.push(chunk);
    while (this.#state.name !== 'done') {
      const packet = this.#fromClient.next();
      if (packet === null) return;
      if (this.#state.name === 'authentication') this.#state.exchange.fromClient(packet);
      else this.#onPassword(packet, this.#state.nextToClient);
    }
  }

  /** The session ended. */
  leave(): void {
    this.#options.bridge.wipe();
  }

  #onPassword(packet: Packet, expected: number): void {
    this.#state = { name: 'password', nextToClient: packet.sequenceId + 1 };
    checkOrder(packet, expected);
    const { payload } = this.#options.bridge.fromClient(packet.payload);
    this.#send(payload, packet.sequenceId + 1);
  }

  #send(authResponse: Buffer, nextToClient: number): void {
    const { bridge, check, packet, toClient, toServer } = this.#options;
    const command = withChangeUserResponse(packet.payload, this.#command, authResponse);
    const exchange = new AuthExchange({
      bridge,
      check,
      nextToClient,
      nextToServer: 1,
      toClient,
      toServer,
    });
    this.#state = { name: 'authentication', exchange };
    toServer(encodePacket(command, 0));
    for (const secret of [authResponse, this.#command.authResponse, command]) secret.fill(0);
  }

  #finish(exchange: AuthExchange): void {
    this.#state = { name: 'done' };
    this.#options.onDone({
      last: encodePacket(exchange.last, exchange.nextToClient - 1),
      fromServer: this.#fromServer.rest(),
      fromClient: Buffer.concat([exchange.parked, this.#fromClient.rest()]),
    });
  }
}
