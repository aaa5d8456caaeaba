/** A machine is a box: hardware with MAC addresses, an SMBIOS UUID, disks and firmware. */

export type Firmware = 'bios' | 'uefi';
export type Arch = 'x86_64' | 'arm64';

/** A device that a loadable module drives in the ramdisk, as the kernel names both (Linux `modalias`). */
export interface DrivenDevice {
  readonly modalias: string;
  readonly module: string;
}

/** One disk as the agent sees it. `bytes` is the whole device; `sectorBytes` the logical sector size. */
export interface DiskFacts {
  /** Kernel name without /dev, e.g. `vda`, `nvme0n1`. */
  readonly name: string;
  readonly bytes: number;
  readonly sectorBytes: number;
  readonly transport: 'virtio' | 'sata' | 'nvme' | 'scsi' | 'usb' | 'unknown';
  readonly serial?: string;
  readonly wwn?: string;
  readonly model?: string;
  readonly removable: boolean;
  /** What must be driven for it to work: itself and the controllers it hangs on. */
  readonly devices?: readonly DrivenDevice[];
}

/** The other end of an interface's cable, as the switch says by LLDP (IEEE 802.1AB). Texts of one line. */
export interface NicNeighbour {
  /** The switch: its MAC address, IP address or name for itself. */
  readonly chassisId: string;
  readonly portId: string;
  readonly systemName?: string;
  readonly portDescription?: string;
  /** Of untagged frames. */
  readonly vlan?: number;
}

/** One network interface. `mac` is lower-case, colon-separated. */
export interface NicFacts {
  readonly name: string;
  readonly mac: string;
  readonly driver?: string;
  readonly speedMbps?: number;
  readonly link?: boolean;
  /** Where it is plugged in, as heard last. */
  readonly neighbour?: NicNeighbour;
  /** What must be driven for it to work. */
  readonly devices?: readonly DrivenDevice[];
}

/** What the agent reports about the hardware. */
export interface MachineFacts {
  /** SMBIOS UUID, lower-case; absent when the board has none or an all-zero one. */
  readonly uuid?: string;
  readonly firmware: Firmware;
  readonly arch: Arch;
  readonly cpu: { readonly model: string; readonly cores: number };
  readonly memoryBytes: number;
  readonly disks: readonly DiskFacts[];
  readonly nics: readonly NicFacts[];
  readonly dmi: { readonly vendor?: string; readonly product?: string; readonly serial?: string };
}

/** What a machine's firmware says of itself when it asks DHCP to boot. */
export interface DhcpFacts {
  /** RFC 4578 §2.1, option 93, as sent. */
  readonly archCode?: number;
  /** Option 60. */
  readonly vendorClass?: string;
  /** Option 12. */
  readonly hostname?: string;
  /** Option 97, as an SMBIOS UUID. */
  readonly uuid?: string;
  readonly at: string;
}

/** What a management controller knows of the machine it sits in. Texts of one line. */
export interface ControllerFacts {
  readonly vendor?: string;
  readonly product?: string;
  readonly serial?: string;
  readonly uuid?: string;
  readonly biosVersion?: string;
  /** The controller's own network interface, and its firmware. */
  readonly mac?: string;
  readonly firmwareVersion?: string;
  /** What the machine draws now; absent where nothing measures it. */
  readonly watts?: number;
}

/** May this machine be given a role? `held` waits for an administrator, `rejected` gets silence. */
export type Admission = 'held' | 'accepted' | 'rejected';

/** Where the machine's agent was last heard from. */
export type Whereabouts = 'ramdisk' | 'server';

export interface Machine {
  readonly id: string;
  /** Human name, unique; `machine-` and the last three bytes of the first MAC unless renamed. */
  readonly name: string;
  readonly macs: readonly string[];
  readonly uuid?: string;
  readonly arch?: Arch;
  readonly firmware?: Firmware;
  readonly admission: Admission;
  /** Why it is held or rejected, for people; see `isHeldAsStale` for one that is accepted and held all the same. */
  readonly admissionReason?: string;
  /** Who accepted or rejected it by hand; absent while `discovery.admit` decides. */
  readonly admissionBy?: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Labels as rules set them last; `null`: a person decides about this one. */
  readonly ruleLabels?: Readonly<Record<string, string | null>>;
  /** An IPv4 address in the network it booted on last: its own, its relay's, or ours on the interface. */
  readonly seenOn?: string;
  /** As its ramdisk's or server's agent reported it last. */
  readonly facts?: MachineFacts;
  /** As its firmware told DHCP last. */
  readonly dhcp?: DhcpFacts;
  /** As its management controller said last; see `hardwareOf` for how the three go together. */
  readonly controller?: ControllerFacts & { readonly at: string };
  /** The server it is assigned, with the assignment's generation. */
  readonly serverName?: string;
  readonly generation?: number;
  /** The disk of its last install: serial, WWN or path-id. */
  readonly diskPin?: string;
  readonly firstSeenAt: string;
  readonly lastSeenAt: string;
}

/** How `admissionReason` begins while a machine is held because its assignment passed on; a new one clears it. */
export const STALE_REASON = 'held:';

/** Is it held, whatever its admission says, because the server it carries has passed on to another machine? */
export function isHeldAsStale(machine: Pick<Machine, 'admissionReason' | 'serverName'>): boolean {
  return machine.serverName !== undefined && machine.admissionReason?.startsWith(STALE_REASON) === true;
}

/** Lower-cases and checks a MAC address; `undefined` if it is not one. Accepts `:` and `-`. */
export function normalizeMac(text: string): string | undefined {
  const mac = text.trim().toLowerCase().replaceAll('-', ':');
  return /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(mac) && mac !== '00:00:00:00:00:00' ? mac : undefined;
}

/**
 * What board makers left in place of a UUID: thousands of boards have it. AMI's template (in both byte orders), and
 * counting digits.
 */
const PLACEHOLDERS: ReadonlySet<string> = new Set([
  '03000200-0400-0500-0006-000700080009',
  '00020003-0004-0005-0006-000700080009',
  '12345678-1234-5678-90ab-cddeefaabbcc',
  '78563412-3412-7856-90ab-cddeefaabbcc',
]);

/** Lower-cases and checks an SMBIOS UUID; boards with one digit throughout, or a maker's placeholder, have none. */
export function normalizeUuid(text: string | undefined): string | undefined {
  const uuid = text?.trim().toLowerCase() ?? '';
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(uuid)) return undefined;
  const sameDigit = /^(.)\1*$/.test(uuid.replaceAll('-', ''));
  return sameDigit || PLACEHOLDERS.has(uuid) ? undefined : uuid;
}

/** A machine's entry of a table whose keys are machine names, ids or MAC addresses, as plugins' options have them. */
export function entryOf<T>(table: Readonly<Record<string, T>>, machine: Machine): T | undefined {
  for (const [key, entry] of Object.entries(table)) {
    const mac = normalizeMac(key);
    if (key === machine.name || key === machine.id || (mac !== undefined && machine.macs.includes(mac)))
      return entry;
  }
  return undefined;
}
