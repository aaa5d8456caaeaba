/** All machine records in memory, found by id, name, MAC address and UUID. Pure, no I/O. */

import type { Machine } from '../domain/machine.ts';
import { OverdubError } from '../errors.ts';

export class MachineIndex {
  readonly #byId = new Map<string, Machine>();
  readonly #byName = new Map<string, Machine>();
  readonly #byMac = new Map<string, Machine>();
  readonly #byUuid = new Map<string, Set<string>>();

  /** In byte order of names. */
  all(): Machine[] {
    return [...this.#byId.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  get(id: string): Machine | undefined {
    return this.#byId.get(id);
  }

  byName(name: string): Machine | undefined {
    return this.#byName.get(name);
  }

  byMac(mac: string): Machine | undefined {
    return this.#byMac.get(mac);
  }

  /** Everybody who claims it, in order of ids. */
  byUuid(uuid: string): Machine[] {
    return [...(this.#byUuid.get(uuid) ?? [])].sort().flatMap((id) => this.#byId.get(id) ?? []);
  }

  /** CONFLICT when another machine has its name or one of its MAC addresses. */
  assertFree({ id, name, macs }: Machine): void {
    const namesake = this.#byName.get(name);
    if (namesake !== undefined && namesake.id !== id) {
      throw new OverdubError(
        'CONFLICT',
        `Another machine is called ${name} already.`,
        'Choose another name.',
      );
    }
    for (const mac of macs) {
      const owner = this.#byMac.get(mac);
      if (owner === undefined || owner.id === id) continue;
      throw new OverdubError(
        'CONFLICT',
        `The MAC address ${mac} belongs to machine ${owner.id} already.`,
        'Forget that machine first if the network card moved: overdub machine forget.',
      );
    }
  }

  /** Adds it, or puts it in the place of what it was. */
  put(machine: Machine): void {
    this.remove(machine.id);
    const { id, name, macs, uuid } = machine;
    this.#byId.set(id, machine);
    this.#byName.set(name, machine);
    for (const mac of macs) this.#byMac.set(mac, machine);
    if (uuid === undefined) return;
    const claimants = this.#byUuid.get(uuid) ?? new Set();
    this.#byUuid.set(uuid, claimants.add(id));
  }

  remove(id: string): void {
    const machine = this.#byId.get(id);
    if (machine === undefined) return;
    const { name, macs, uuid } = machine;
    this.#byId.delete(id);
    this.#byName.delete(name);
    for (const mac of macs) this.#byMac.delete(mac);
    const claimants = this.#byUuid.get(uuid ?? '');
    claimants?.delete(id);
    if (claimants?.size === 0) this.#byUuid.delete(uuid ?? '');
  }
}
