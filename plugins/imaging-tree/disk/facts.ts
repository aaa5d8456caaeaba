/** What this machine is, from /sys and /proc. Nothing is run and nothing is written. */

import { existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import {
  type Arch,
  type DiskFacts,
  type DrivenDevice,
  type MachineFacts,
  type NicFacts,
  normalizeMac,
  normalizeUuid,
  OverdubError,
} from '@overdub/core/agent';
import { isDiskName } from './naming.ts';

/** Where the kernel shows itself; tests bring their own. */
export interface KernelView {
  readonly sys: string;
  readonly proc: string;
}

/** A disk with a name for its place on the bus, for disks that have neither serial nor WWN. */
export interface DiskDevice extends DiskFacts {
  readonly place: string;
}

/** See {@link DiskFeature.facts}. ARCH_UNKNOWN on other processors than x86-64 and arm64. */
export function readFacts({ sys, proc }: KernelView, processArch: string = process.arch): MachineFacts {
  const dmi = (name: string) => text(join(sys, 'class/dmi/id', name));
  const uuid = normalizeUuid(dmi('product_uuid'));
  const about = { vendor: dmi('sys_vendor'), product: dmi('product_name'), serial: dmi('product_serial') };
  return {
    ...(uuid === undefined ? {} : { uuid }),
    firmware: existsSync(join(sys, 'firmware/efi')) ? 'uefi' : 'bios',
    arch: archOf(processArch),
    cpu: readCpu(text(join(proc, 'cpuinfo')) ?? ''),
    memoryBytes: readMemory(text(join(proc, 'meminfo')) ?? ''),
    disks: readDisks(sys).map(({ place: _, ...facts }) => facts),
    nics: readNics(sys),
    dmi: Object.fromEntries(Object.entries(about).filter(([, value]) => value !== undefined)),
  };
}

function archOf(processArch: string): Arch {
  if (processArch === 'x64') return 'x86_64';
  if (processArch === 'arm64') return 'arm64';
  throw new OverdubError(
    'ARCH_UNKNOWN',
    `This machine's processor (${processArch}) is not supported.`,
    'Use an x86-64 or arm64 machine.',
  );
}

function readCpu(cpuinfo: string): MachineFacts['cpu'] {
  const model = /^(?:model name|Processor|CPU part)\s*:\s*(.+)$/m.exec(cpuinfo)?.[1]?.trim() ?? 'unknown';
  return { model, cores: Math.max(1, cpuinfo.match(/^processor\s*:/gm)?.length ?? 1) };
}

function readMemory(meminfo: string): number {
  return Number(/^MemTotal:\s+([0-9]+) kB$/m.exec(meminfo)?.[1] ?? 0) * 1024;
}

/** Every disk of the machine, by name. */
export function readDisks(sys: string): DiskDevice[] {
  return names(join(sys, 'block'))
    .filter(isDiskName)
    .flatMap((name) => readDisk(sys, name) ?? []);
}

function readDisk(sys: string, name: string): DiskDevice | undefined {
  const at = join(sys, 'block', name);
  const bytes = Number(text(join(at, 'size')) ?? 0) * 512;
  if (bytes === 0) return undefined;
  const place = devicePath(at);
  const serial = text(join(at, 'serial')) ?? text(join(at, 'device/serial')) ?? vpdSerial(at);
  const wwn = text(join(at, 'wwid')) ?? text(join(at, 'device/wwid'));
  const model = text(join(at, 'device/model'));
  return {
    name,
    bytes,
    sectorBytes: Number(text(join(at, 'queue/logical_block_size')) ?? 512),
    transport: transportOf(name, place),
    ...(serial === undefined ? {} : { serial }),
    ...(wwn === undefined ? {} : { wwn }),
    ...(model === undefined ? {} : { model }),
    removable: text(join(at, 'removable')) === '1',
    devices: drivenDevices(place),
    place,
  };
}

function transportOf(name: string, place: string): DiskFacts['transport'] {
  if (place.includes('/usb')) return 'usb';
  if (name.startsWith('nvme')) return 'nvme';
  if (name.startsWith('vd')) return 'virtio';
  if (/\/ata[0-9]+\//.test(place)) return 'sata';
  return name.startsWith('sd') ? 'scsi' : 'unknown';
}

/** SPC-4 §7.8.10, unit serial number page: four bytes of header, then ASCII. */
function vpdSerial(at: string): string | undefined {
  try {
    const page = readFileSync(join(at, 'device/vpd_pg80'));
    return clean(page.subarray(4, 4 + page.readUInt16BE(2)).toString('latin1'));
  } catch {
    return undefined; // Not a SCSI disk, or one without the page.
  }
}

function readNics(sys: string): NicFacts[] {
  return names(join(sys, 'class/net')).flatMap((name) => {
    const at = join(sys, 'class/net', name);
    const mac = normalizeMac(text(join(at, 'address')) ?? '');
    if (mac === undefined || !existsSync(join(at, 'device'))) return [];
    const driver = existsSync(join(at, 'device/driver'))
      ? realpathSync(join(at, 'device/driver')).split('/').at(-1)
      : undefined;
    const speed = Number(text(join(at, 'speed')) ?? -1);
    const carrier = text(join(at, 'carrier'));
    return {
      name,
      mac,
      ...(driver === undefined ? {} : { driver }),
      ...(speed > 0 ? { speedMbps: speed } : {}),
      ...(carrier === undefined ? {} : { link: carrier === '1' }),
      devices: drivenDevices(realpathSync(join(at, 'device'))),
    };
  });
}

/** The device at this place of /sys and what it hangs on, as far as modules drive them. */
function drivenDevices(place: string): DrivenDevice[] {
  const found: DrivenDevice[] = [];
  for (let at = place; dirname(at) !== at; at = dirname(at)) {
    const modalias = text(join(at, 'modalias'));
    const module = join(at, 'driver/module');
    if (modalias !== undefined && existsSync(module)) {
      found.push({ modalias, module: basename(realpathSync(module)) });
    }
  }
  return found;
}

function devicePath(at: string): string {
  try {
    return realpathSync(join(at, 'device'));
  } catch {
    return realpathSync(at);
  }
}

function names(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory).sort() : [];
}

/** Trimmed content of a small file; undefined when it is missing, unreadable (carrier of a NIC that is down) or empty. */
function text(path: string): string | undefined {
  try {
    return clean(readFileSync(path, 'latin1'));
  } catch {
    return undefined;
  }
}

function clean(value: string): string | undefined {
  const trimmed = value.replaceAll('\0', '').trim();
  return trimmed === '' ? undefined : trimmed;
}
