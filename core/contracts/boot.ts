/** Boot plans: what a machine boots, decided once and rendered for each kind of client. */

import type { FileHandle } from 'node:fs/promises';
import type { Machine } from '../domain/machine.ts';

/** RFC 4578 §2.1 client system architectures that we tell apart. */
export type BootArch = 'bios-x86' | 'uefi-x86_64' | 'uefi-arm64' | 'unknown';

/** Who asks: a firmware's PXE client, iPXE, GRUB or PXELINUX (only for their configuration), or a UEFI HTTP Boot client. */
export type BootClient = 'pxe' | 'ipxe' | 'grub' | 'pxelinux' | 'http';

/** What is known of a booting client. A MAC is only a claim. */
export interface BootRequest {
  readonly mac: string;
  readonly uuid?: string;
  readonly arch: BootArch;
  /** The raw option 93 value, for messages. */
  readonly archCode?: number;
  readonly client: BootClient;
  /**
   * `dhcp` (also when absent): the answer goes into a DHCP reply, so it must be a file name or, for HTTP Boot, a URL.
   * `script`: the client already runs iPXE, GRUB or PXELINUX and asks for the script of this one boot.
   */
  readonly stage?: 'dhcp' | 'script';
  /** An IPv4 address in the client's network: its own, else its relay's, else ours on the interface that heard it. */
  readonly ip?: string;
  readonly vendorClass?: string;
  /** Option 12. */
  readonly hostname?: string;
  readonly userClass?: string;
  /** Base URL under which this client reaches the appliance, no trailing slash: `http://10.0.0.1:7077`. */
  readonly baseUrl: string;
}

/**
 * `ramdisk`: boot the ramdisk. `local`: boot the disk, that is stay silent (proxy) or lease without a boot
 * file (full). `silent`: not ours, no answer at all (rejected machines).
 */
export type BootPlan =
  | { readonly kind: 'ramdisk'; readonly kernelArguments: readonly string[]; readonly nonce: string }
  | { readonly kind: 'local' }
  | { readonly kind: 'silent'; readonly reason: string };

/** `file`: a TFTP name or an HTTP URL to load next. `script`: text for the client itself (iPXE, GRUB, PXELINUX). */
export type RenderedBoot =
  | { readonly kind: 'file'; readonly name: string }
  | { readonly kind: 'script'; readonly text: string };

export interface BootAnswer {
  readonly machine: Machine | undefined;
  readonly plan: BootPlan;
  /** Absent for `local` and `silent`. */
  readonly rendered?: RenderedBoot;
}

/** Something a booting client may fetch, by TFTP or HTTP, under one name. */
export interface Artifact {
  readonly bytes: number;
  readonly contentType: string;
  /** Strong validator for HTTP; also identifies the version in a long TFTP read. */
  readonly etag: string;
  read(range?: { readonly offset: number; readonly length: number }): AsyncIterable<Uint8Array>;
  /**
   * For artifacts that are one local file: that very version of it, opened; whoever asks closes it. Servers then read
   * into buffers of their own, which is several times cheaper.
   */
  openFile?(): Promise<FileHandle>;
}

/** What plugins that speak to booting machines may ask of the core. */
export interface NetbootService {
  /** identify → admit → plan → render. Records the sighting. Never throws for a strange client: `silent`. */
  answer(request: BootRequest): Promise<BootAnswer>;
  /** Asks `boot.artifact` taps in order. Names are clean relative paths. */
  artifact(name: string): Promise<Artifact | undefined>;
  /** The address that belongs to the server this MAC is assigned, and its host name, for DHCP. */
  reservation(mac: string): Promise<{ readonly address?: string; readonly hostname: string } | undefined>;
  /** Addresses no pool may hand out: every server's reservation. */
  reservedAddresses(): Promise<readonly string[]>;
}
