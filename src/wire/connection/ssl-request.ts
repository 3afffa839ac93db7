/**
 * Protocol::SSLRequest: a HandshakeResponse41 cut off before the user name. What follows it on the
 * wire is TLS, and never a packet.
 * https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase_packets_protocol_ssl_request.html
 */
import { CLIENT_SSL } from '../capabilities.js';

/** Payload bytes of an SSLRequest. */
export const SSL_REQUEST_BYTES = 32;

/** First byte of every TLS handshake: a record of content type 22. */
const TLS_HANDSHAKE = 0x16;

/** True for a client that goes on in TLS after this packet, whatever was offered. */
export function isSslRequest(payload: Buffer): boolean {
  return payload.length === SSL_REQUEST_BYTES && (payload.readUInt32LE(0) & CLIENT_SSL) !== 0;
}

/** The request that goes before `response`, which is a HandshakeResponse41 with CLIENT_SSL set. */
export function sslRequestFor(response: Buffer): Buffer {
  return Buffer.from(response.subarray(0, SSL_REQUEST_BYTES));
}

/**
 * The response with the head of the request in front of it. Servers read capabilities, packet size
 * and character set from the request and skip them in the response (some drivers change them
 * there), so whoever reads the response must do the same.
 */
export function withHeadOf(request: Buffer, response: Buffer): Buffer {
  return Buffer.concat([request, response.subarray(SSL_REQUEST_BYTES)]);
}

/** True where `bytes`, if there are any, may be the beginning of a ClientHello. */
export function mayBeClientHello(bytes: Buffer): boolean {
  return bytes.length === 0 || bytes[0] === TLS_HANDSHAKE;
}
