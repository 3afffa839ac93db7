/** Passes bytes between a port here and a server; the server's come a millisecond later. */
import { connect, createServer } from 'node:net';

const [port, host, serverPort] = process.argv.slice(2);
const DELAY_MS = 1;

createServer({ noDelay: true }, (client) => {
  const server = connect({ host, port: Number(serverPort), noDelay: true });
  client.pipe(server);
  server.on('data', (bytes) => setTimeout(() => client.write(bytes), DELAY_MS));
  server.on('end', () => setTimeout(() => client.end(), DELAY_MS));
  for (const socket of [client, server]) {
    socket.on('error', () => undefined);
    socket.on('close', () => {
      client.destroy();
      server.destroy();
    });
  }
}).listen(Number(port), '127.0.0.1');
