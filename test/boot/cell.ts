/** One cell of the boot matrix: a machine with one kind of firmware on one kind of network, from power-on to its agent. */

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import type { Machine } from '@overdub/core';
import { DemoAppliance, OVERDUB } from '../../examples/demo/appliance.ts';
import { createLab, type Lab, type LabMachine } from '../lab/index.ts';
import { FIRMWARE, type Firmware } from './firmware.ts';
import { heldRecord, recordOf } from './records.ts';

const DHCP_SERVER = '10.77.0.2';

/** Where the machine stands, and who hands out addresses there. */
export const NETWORKS = ['proxy', 'server', 'relay', 'relayed proxy'] as const;
export type Network = (typeof NETWORKS)[number];

/** What the network's own DHCP server hands out behind the relay. */
const FAR_RANGE = [
  '--dhcp-range=set:far,10.88.0.50,10.88.0.60,255.255.255.0,10m',
  '--dhcp-option=tag:far,option:router,10.88.0.9',
];

/** GRUB 2.06 knows no proxyDHCP: the DHCP server itself has to name the boot server (boot-grub's README). */
function throughGrub(firmware: Firmware): boolean {
  return firmware === 'Secure Boot' || firmware === 'UEFI arm64';
}

function modeIn(network: Network): 'server' | 'proxy' {
  return network === 'server' || network === 'relay' ? 'server' : 'proxy';
}

/** Builds the ramdisk of an architecture; at once where it is there. */
export function buildRamdisk(arch: 'x86_64' | 'arm64' = 'x86_64'): void {
  const built = spawnSync(OVERDUB, ['ramdisk', 'build', '--arch', arch]);
  if (built.status !== 0) throw new Error(built.stderr.toString());
}

/** A room with an appliance, and whatever else the network needs. */
export class Cell implements AsyncDisposable {
  readonly lab: Lab;
  readonly appliance: DemoAppliance;
  readonly #network: Network;

  private constructor(lab: Lab, network: Network, config: string) {
    this.lab = lab;
    this.#network = network;
    this.appliance = new DemoAppliance(lab, {
      config: join(import.meta.dirname, 'configs', `${config}.config.ts`),
    });
  }

  /** With the configuration of its network, or one of that name in `configs`. */
  static async open(
    name: string,
    network: Network,
    firmware: Firmware,
    config: string = modeIn(network),
  ): Promise<Cell> {
    const cell = new Cell(await createLab({ name }), network, config);
    try {
      await cell.#furnish(firmware);
      return cell;
    } catch (error) {
      await cell[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #furnish(firmware: Firmware): Promise<void> {
    const { lab } = this;
    if (this.#network === 'proxy' || this.#network === 'relayed proxy') {
      await lab.dnsmasq({
        address: `${DHCP_SERVER}/24`,
        range: ['10.77.0.100', '10.77.0.150'],
        options: [
          ...(this.#network === 'proxy' ? [] : FAR_RANGE),
          ...(throughGrub(firmware) ? [`--dhcp-boot=,,${lab.address}`] : []),
        ],
      });
    }
    if (this.#network === 'relay') await lab.relay('dnsmasq', [lab.address]);
    if (this.#network === 'relayed proxy') await lab.relay('dhcrelay', [DHCP_SERVER, lab.address]);
    await this.appliance.start();
  }

  /** A machine that was switched on, after `prepare` had its disk's image. */
  async machine(firmware: Firmware, prepare?: (diskImage: string) => void): Promise<LabMachine> {
    const far = this.#network === 'relay' || this.#network === 'relayed proxy';
    const machine = await this.lab.machine({ ...FIRMWARE[firmware], far });
    prepare?.(machine.diskImage);
    await machine.powerOn();
    return machine;
  }

  held(machine: LabMachine): Promise<Machine> {
    return heldRecord(this, machine);
  }

  record(machine: LabMachine): Promise<Machine | undefined> {
    return recordOf(this, machine);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.lab[Symbol.asyncDispose]() as Promise<void>;
  }
}
