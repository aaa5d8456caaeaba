/** A bad network for TFTP clients that we did not write: between them and a server, it loses, doubles and reorders. */

import type dgram from 'node:dgram';
import { openUdp } from '@overdub/lib-netboot';

export interface Badness {
  /** Shares of packets, 0 to 1, in both directions. */
  readonly lost: number;
  readonly doubled: number;
  /** Held back until the next packet of the same direction, or 5 ms, has passed. */
  readonly reordered: number;
  readonly seed: number;
}

export interface LossyNetwork {
  /** Ask this port instead of the server's. */
  readonly port: number;
  /** What it did so far. */
  readonly done: { lost: number; doubled: number; reordered: number };
  close(): Promise<void>;
}

/** Stands before the server on 127.0.0.1 `serverPort`. Requests themselves pass: not all clients repeat them. */
export async function lossyNetwork(serverPort: number, badness: Badness): Promise<LossyNetwork> {
  const sockets: dgram.Socket[] = [];
  const held = new Set<NodeJS.Timeout>();
  const done = { lost: 0, doubled: 0, reordered: 0 };
  const next = generator(badness.seed);
  const open = async (): Promise<dgram.Socket> => {
    const socket = await openUdp({ address: '127.0.0.1', port: 0 });
    sockets.push(socket);
    return socket;
  };
  const passage = (pass: (bytes: Buffer) => void): ((bytes: Buffer) => void) => {
    let waiting: Buffer | undefined;
    const release = (): void => {
      if (waiting !== undefined) pass(waiting);
      waiting = undefined;
    };
    return (bytes) => {
      if (next() < badness.lost) {
        done.lost += 1;
        return;
      }
      if (waiting === undefined && next() < badness.reordered) {
        done.reordered += 1;
        waiting = bytes;
        const timer = setTimeout(() => {
          held.delete(timer);
          release();
        }, 5);
        held.add(timer);
        return;
      }
      pass(bytes);
      if (next() < badness.doubled) {
        done.doubled += 1;
        pass(bytes);
      }
      release();
    };
  };

  const front = await open();
  front.on('message', async (request, client) => {
    // Two ports for each client, as a transfer has: one that it sees, one that the server sees.
    const [near, far] = [await open(), await open()];
    let transferPort = serverPort;
    const toClient = passage((bytes) => near.send(bytes, client.port, '127.0.0.1'));
    const toServer = passage((bytes) => far.send(bytes, transferPort, '127.0.0.1'));
    far.on('message', (bytes, server) => {
      transferPort = server.port;
      toClient(bytes);
    });
    near.on('message', toServer);
    far.send(request, serverPort, '127.0.0.1');
  });
  return {
    port: front.address().port,
    done,
    close: async () => {
      // What is still held back is lost with the network.
      for (const timer of held) clearTimeout(timer);
      await Promise.all(
        sockets.map((socket) => new Promise<void>((resolve) => socket.close(() => resolve()))),
      );
    },
  };
}

/** Park and Miller's generator. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
}
