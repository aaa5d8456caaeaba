/** The emulated lab's public face. */

export type { DnsmasqSpec } from './dnsmasq.ts';
export type { DiskSpec } from './hardware.ts';
export { createLab, type Lab, type LabOptions } from './lab.ts';
export type { LabMachine, MachineSpec } from './machine.ts';
export type { LabProcess } from './processes.ts';
export type { ExecOptions } from './programs.ts';
export type { Ipv6Room } from './router.ts';
