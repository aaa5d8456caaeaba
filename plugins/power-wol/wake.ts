/** One machine's power, as far as Wake-on-LAN goes: on. */

import { readFile } from 'node:fs/promises';
import { entryOf, type Machine, normalizeMac, type PowerControl } from '@overdub/core/agent';
import { openUdp } from '@overdub/lib-netboot';
import { magicPacket } from './magic.ts';

export interface WakeOptions {
  readonly machines?: readonly string[];
  readonly interface?: string;
  readonly address?: string;
  readonly port?: number;
  readonly secureOnFile?: string;
}

/** Nobody acknowledges a magic packet, so it is said more than once. */
const TIMES = 3;
const EVERYBODY = '255.255.255.255';

/** `undefined` for machines that are not ours or have no address. */
export function wakePower(machine: Machine, options: WakeOptions): PowerControl | undefined {
  const { machines, address = EVERYBODY, port = 9 } = options;
  const ours =
    machines === undefined ||
    entryOf(Object.fromEntries(machines.map((key) => [key, true])), machine) === true;
  if (!ours || machine.macs.length === 0) return undefined;
  return {
    where: `Wake-on-LAN by ${address}`,
    features: { off: false, cycle: false, state: false, netboot: false },
    async on(signal) {
      signal.throwIfAborted();
      const secureOn = options.secureOnFile === undefined ? undefined : await password(options.secureOnFile);
      const socket = await openUdp({
        port: 0,
        ...(options.interface === undefined ? {} : { interface: options.interface }),
      });
      try {
        for (let time = 0; time < TIMES; time++) {
          for (const mac of machine.macs) {
            const packet = magicPacket(mac, secureOn);
            await new Promise<void>((resolve, reject) => {
              socket.send(packet, port, address, (error) => (error ? reject(error) : resolve()));
            });
          }
        }
      } finally {
        socket.close();
      }
    },
  };
}

async function password(file: string): Promise<string> {
  const text = normalizeMac(await readFile(file, 'utf8'));
  if (text === undefined) throw new Error(`${file} holds no SecureOn password in the form 00:11:22:33:44:55`);
  return text;
}
