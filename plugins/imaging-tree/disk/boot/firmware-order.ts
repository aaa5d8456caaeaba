/**
 * UEFI's boot order (UEFI 2.10 §3.1): our loader right behind the entry that the ramdisk was booted by. The network
 * stays first, so the machine goes on asking at every start; without an answer it boots its disk next, and not after
 * minutes of PXE and HTTP over IPv4 and IPv6.
 */

import type { PreparedDisk } from '@overdub/core/agent';
import { readGpt } from '../gpt.ts';
import type { DiskHost } from '../host.ts';
import { PARTITIONS } from '../layout.ts';

/** Name of our entry in the firmware's menu. There is at most one on a machine. */
const LABEL = 'Overdub';

/** What the firmware's variables say, as far as it matters here. Numbers are four hexadecimal digits. */
export interface FirmwareEntries {
  readonly current?: string;
  readonly order: readonly string[];
  /** Ours, with the partition's GUID in lower case where the entry names one. */
  readonly ours: readonly { readonly number: string; readonly partition?: string }[];
}

/** Reads what `efibootmgr -v` prints (versions 17 and 18). */
export function parseEntries(text: string): FirmwareEntries {
  const current = /^BootCurrent: ([0-9A-F]{4})$/im.exec(text)?.[1];
  const order = /^BootOrder: ([0-9A-F,]+)$/im.exec(text)?.[1];
  const ours = text.matchAll(new RegExp(`^Boot([0-9A-F]{4})[* ] ${LABEL}(?:\\t(.*))?$`, 'gim'));
  return {
    ...(current === undefined ? {} : { current }),
    order: order?.split(',') ?? [],
    ours: [...ours].map(([, number = '', path = '']) => {
      const partition = /HD\(\d+,GPT,([0-9a-f-]{36})/i.exec(path)?.[1]?.toLowerCase();
      return { number, ...(partition === undefined ? {} : { partition }) };
    }),
  };
}

/**
 * The order with `ours` right behind the entry that booted the ramdisk; all others keep theirs. Where that entry is
 * ours or not in the order (kexec, a one-time boot), what stands in the order already stays, else it comes last.
 */
export function orderWith(
  ours: string,
  { current, order }: Pick<FirmwareEntries, 'current' | 'order'>,
): readonly string[] {
  const others = order.filter((number) => number !== ours);
  const behind = current === undefined || current === ours ? -1 : others.indexOf(current);
  if (behind >= 0) return others.toSpliced(behind + 1, 0, ours);
  return order.includes(ours) ? order : [...others, ours];
}

/**
 * Gives this machine's firmware one entry for the disk's ESP. Writes only what differs: the variables lie in flash
 * memory. A firmware that refuses (no variables at run time, full, read-only) is no failure, since the loader also lies
 * where every firmware looks; the machine's console tells it.
 */
export async function placeInBootOrder(host: DiskHost, disk: PreparedDisk): Promise<void> {
  try {
    const before = await entries(host);
    const partition = espGuid(disk.device);
    const known = before.ours.find((entry) => entry.partition === partition);
    for (const stale of before.ours.filter((entry) => entry !== known)) {
      await efibootmgr(host, '-q', '-b', stale.number, '-B');
    }
    if (known === undefined) await create(host, disk.device);
    const now = await entries(host);
    const ours = now.ours.find((entry) => entry.partition === partition);
    if (ours === undefined) throw new Error('the firmware did not keep the entry');
    const order = orderWith(ours.number, now);
    if (order.join() !== now.order.join()) await efibootmgr(host, '-q', '-o', order.join(','));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    host.warn(
      `the firmware's boot order stays as it is, with the disk where the firmware puts it: ${reason}`,
    );
  }
}

/** Not put first in the order, as efibootmgr does by itself. */
async function create(host: DiskHost, device: string): Promise<void> {
  const place = ['-d', device, '-p', String(PARTITIONS.esp)];
  await efibootmgr(host, '-q', '-C', ...place, '-L', LABEL, '-l', '\\EFI\\overdub\\grubx64.efi');
}

async function entries(host: DiskHost): Promise<FirmwareEntries> {
  return parseEntries(await efibootmgr(host, '-v'));
}

function efibootmgr(host: DiskHost, ...args: readonly string[]): Promise<string> {
  return host.run('efibootmgr', args);
}

function espGuid(device: string): string {
  const esp = readGpt(device)?.partitions.find(({ number }) => number === PARTITIONS.esp);
  if (esp === undefined) throw new Error(`${device} has no EFI system partition`);
  return esp.guid.toLowerCase();
}
