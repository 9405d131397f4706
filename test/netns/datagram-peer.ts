/**
 * Runs in place of a node in the tests of the network itself: remembers every datagram it received, and over HTTP
 * tells which, or sends some.
 */
import { createSocket } from 'node:dgram';
import { createServer } from 'node:http';

const datagramPort = 7400;
const multicastPort = 5354;
const multicastGroup = '224.0.0.251';
const ip = process.env.HF_IP ?? '';
const received: string[] = [];

const unicast = createSocket('udp4');
unicast.on('message', (message, from) => received.push(`${from.address} ${message.toString()}`));
unicast.bind(datagramPort, ip);

const multicast = createSocket({ type: 'udp4', reuseAddr: true });
multicast.on('message', (message, from) => received.push(`${from.address} ${message.toString()}`));
multicast.bind(multicastPort, () => multicast.addMembership(multicastGroup));

async function send(to: string, text: string, count: number): Promise<void> {
  const port = to === multicastGroup ? multicastPort : datagramPort;
  for (let sent = 0; sent < count; sent += 1) {
    await new Promise<void>((done) => {
      // A packet that a local rule refuses is a lost packet, not an error of this program.
      unicast.send(text, port, to, () => done());
    });
  }
}

createServer((request, response) => {
  const url = new URL(request.url ?? '/', `http://${ip}`);
  if (url.pathname === '/received') {
    response.end(JSON.stringify(received));
    return;
  }
  const { to = '', text = '', count = '1' } = Object.fromEntries(url.searchParams);
  send(to, text, Number(count)).then(
    () => response.end(),
    () => response.writeHead(500).end(),
  );
}).listen(7480, ip);
