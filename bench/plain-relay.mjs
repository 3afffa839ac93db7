// The bare relay of twenty lines that the benchmarks compare with: two pipes, no look at a byte.
// node plain-relay.mjs <port> <upstream host> <upstream port>
import net from 'node:net';

const [port, host, upstreamPort] = process.argv.slice(2);
const server = net.createServer({ noDelay: true }, (client) => {
  const upstream = net.connect({ host, port: Number(upstreamPort), noDelay: true });
  for (const [from, to] of [
    [client, upstream],
    [upstream, client],
  ]) {
    from.pipe(to);
    from.on('error', () => to.destroy());
  }
});
server.listen(Number(port), '127.0.0.1');
