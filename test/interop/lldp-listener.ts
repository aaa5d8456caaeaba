/** A program for the LLDP test: listens on `eth0`, prints a JSON line for each neighbour, until it is killed. */

import { setTimeout as delay } from 'node:timers/promises';
import { listenLldp } from '@overdub/lib-netboot';

const say = (what: object): void => void process.stdout.write(`${JSON.stringify(what)}\n`);
say({ listening: true });
await listenLldp({
  interfaces: ['eth0', 'missing0'],
  onNeighbour: (device, neighbour) => say({ device, neighbour: neighbour ?? null }),
  onDeaf: (device) => say({ deaf: device }),
  sleep: (ms) => delay(ms),
});
