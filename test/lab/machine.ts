import { closeSync, existsSync, ftruncateSync, openSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { acceleration, FOREIGN } from './acceleration.ts';
import { SerialConsole } from './console.ts';
import {
  type DiskSpec,
  diskArguments,
  emulator,
  type FirmwareSpec,
  firmwareArguments,
  nicArguments,
} from './hardware.ts';
import { LabProcess } from './processes.ts';
import { qmp, shutdownReason } from './qmp.ts';

export interface MachineSpec extends FirmwareSpec {
  readonly name: string;
  readonly mac: string;
  readonly uuid: string;
  /** Absent: a machine without a disk. */
  readonly disk?: DiskSpec;
  /** Further disks, behind it in the boot order. */
  readonly otherDisks?: readonly DiskSpec[];
  /** Default 1024. */
  readonly memoryMiB?: number;
  /** Default 2. */
  readonly cpus?: number;
  /** QEMU's name of the NIC model; default `virtio-net-pci`. */
  readonly nicModel?: string;
  /** Further NICs, on the same network. */
  readonly otherMacs?: readonly string[];
  /** On the network behind the lab's relay. */
  readonly far?: boolean;
  /** Without network: boots from its disk alone. */
  readonly cable?: boolean;
}

/** Reasons of QMP's event SHUTDOWN that are a reboot. */
const RESETS: ReadonlySet<string> = new Set(['guest-reset', 'host-qmp-system-reset']);

/** What a machine needs of the lab it stands in. */
export interface MachineSite {
  /** A directory of this machine's own. */
  readonly dir: string;
  /** Command prefix that enters the lab's network. */
  readonly inside: readonly string[];
  /** Taps on the lab's bridge, one a NIC. */
  readonly taps: readonly string[];
}

/**
 * One emulated machine. Its disk and UEFI variables outlive power cycles. A reboot is a cold one, as many boards make
 * it: QEMU ends and starts anew. (After a warm reset its firmware and boot loaders run several times slower.)
 */
export class LabMachine {
  readonly spec: MachineSpec;
  readonly console: SerialConsole;
  readonly #site: MachineSite;
  #qemu: LabProcess | undefined;
  #on = false;
  /** Settles when it is off. */
  #life: Promise<void> = Promise.resolve();

  constructor(spec: MachineSpec, site: MachineSite) {
    this.spec = spec;
    this.#site = site;
    this.console = new SerialConsole(join(site.dir, 'console.log'));
    this.#disks.forEach((_disk, index) => {
      this.#emptyDisk(index);
    });
  }

  get name(): string {
    return this.spec.name;
  }

  get mac(): string {
    return this.spec.mac;
  }

  get running(): boolean {
    return this.#on;
  }

  /** Raw image of the first disk; sparse. */
  get diskImage(): string {
    return this.#image(0);
  }

  #image(index: number): string {
    return join(this.#site.dir, `disk${index}.img`);
  }

  get #disks(): readonly DiskSpec[] {
    return [...(this.spec.disk ? [this.spec.disk] : []), ...(this.spec.otherDisks ?? [])];
  }

  /** Switches it on. A machine that is on stays on. */
  async powerOn(): Promise<void> {
    if (this.#on) return;
    this.#on = true;
    this.console.mark();
    try {
      const first = await this.#start();
      this.#life = this.#live(first);
    } catch (error) {
      this.#on = false;
      throw error;
    }
  }

  async #start(): Promise<LabProcess> {
    const { dir, inside } = this.#site;
    for (const socket of ['qmp', 'events']) rmSync(join(dir, socket), { force: true });
    this.#qemu = await LabProcess.start([...inside, emulator(this.spec), ...(await this.#arguments())], {
      logFile: join(dir, 'qemu.log'),
    });
    return this.#qemu;
  }

  /** Starts QEMU again after each reset, until it ends for another reason. */
  async #live(first: LabProcess): Promise<void> {
    try {
      for (let qemu = first; ; qemu = await this.#start()) {
        if (!this.#on) await qemu.stop(0);
        const reason = await shutdownReason(join(this.#site.dir, 'events'), () => !qemu.running);
        await qemu.exited;
        if (!this.#on || reason === undefined || !RESETS.has(reason)) return;
      }
    } finally {
      this.#on = false;
    }
  }

  async #arguments(): Promise<string[]> {
    const { spec } = this;
    const { dir, taps } = this.#site;
    const variables = join(dir, 'vars.fd');
    // UEFI keeps its boot order, and what the agent made of it, in its variables; BIOS is told at each start.
    const ordered = spec.firmware === 'bios' || !existsSync(variables);
    const macs = [spec.mac, ...(spec.otherMacs ?? [])];
    const model = spec.nicModel ?? 'virtio-net-pci';
    const nics = taps.flatMap((tap, index) =>
      nicArguments({ index, tap, mac: macs[index] ?? spec.mac, model, firmware: spec.firmware, ordered }),
    );
    return [
      ...['-name', spec.name, '-uuid', spec.uuid],
      ...(spec.arch === 'arm64' ? FOREIGN : await acceleration()),
      ...['-smp', String(spec.cpus ?? 2), '-m', String(spec.memoryMiB ?? 1024)],
      ...firmwareArguments(spec, variables),
      ...['-nodefaults', '-display', 'none', '-device', 'virtio-rng-pci'],
      ...['-chardev', `file,id=console,path=${this.console.file},append=on`, '-serial', 'chardev:console'],
      ...['qmp', 'events'].flatMap((name) => ['-qmp', `unix:${join(dir, name)},server=on,wait=off`]),
      ...['-action', 'reboot=shutdown'],
      ...this.#disks.flatMap((disk, index) => diskArguments(disk, this.#image(index), { index, ordered })),
      ...nics,
    ];
  }

  /** Pulls the plug. */
  async powerOff(): Promise<void> {
    this.#on = false;
    await this.#qemu?.stop(0);
    await this.#life;
  }

  /** Presses the reset button. */
  async reset(signal: AbortSignal): Promise<void> {
    this.console.mark();
    await qmp(join(this.#site.dir, 'qmp'), 'system_reset', signal);
  }

  /** Presses the power button: a running system shuts down by itself. */
  async pressPower(signal: AbortSignal): Promise<void> {
    await qmp(join(this.#site.dir, 'qmp'), 'system_powerdown', signal);
  }

  /** Resolves when it is off, whoever switched it off. */
  async waitForOff(signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason), { once: true });
      this.#life.then(resolve, reject);
    });
  }

  /** From now on it reboots without us, warmly: this process is about to end. */
  async leaveRunning(signal: AbortSignal): Promise<void> {
    if (this.#on) await qmp(join(this.#site.dir, 'qmp'), 'set-action', signal, { reboot: 'reset' });
  }

  /** First match on the serial console since it was switched on or reset. */
  waitForConsole(pattern: RegExp, options: { readonly signal: AbortSignal }): Promise<RegExpExecArray> {
    return this.console.waitFor(pattern, { signal: options.signal, ended: () => !this.running });
  }

  /** An empty disk takes the place of the first one. The machine must be off. */
  async replaceDisk(): Promise<void> {
    if (this.running) throw new Error(`${this.name} is on; switch it off before its disk is replaced`);
    this.#emptyDisk(0);
  }

  #emptyDisk(index: number): void {
    rmSync(this.#image(index), { force: true });
    const file = openSync(this.#image(index), 'wx');
    ftruncateSync(file, this.#disks[index]?.bytes ?? 0);
    closeSync(file);
  }
}
