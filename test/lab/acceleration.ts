/** KVM only where it proves to work: /dev/kvm may exist and yet fail when a processor starts. */

import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { LabProcess } from './processes.ts';

/**
 * Without ERMS: where a processor promises fast `rep movsb`, Linux copies and clears memory by it, and software
 * emulation goes through that byte by byte. 400 MB cleared in 2.1 s with it and in 0.2 s without, 64 MB read from
 * the page cache in 2.5 and 0.2 s, 300 processes started in 5.0 and 1.9 s.
 */
export const EMULATION = ['-accel', 'tcg,thread=multi', '-cpu', 'max,erms=off'] as const;
/**
 * For 64-bit ARM on another host. `max` signs return addresses in software: it took 55 s from kernel to agent where this
 * server core takes 19 and a Cortex-A72, whose atomics are loops, 23.
 */
export const FOREIGN = ['-accel', 'tcg,thread=multi', '-cpu', 'neoverse-n1'] as const;
const KVM = ['-accel', 'kvm', '-cpu', 'host'] as const;
const PROOF_MS = 8000;

/** QEMU's accelerator arguments for this host. Tried once with a tiny guest; remembered until the host reboots. */
export async function acceleration(): Promise<readonly string[]> {
  if (!existsSync('/dev/kvm')) return EMULATION;
  const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  const memory = join(tmpdir(), `overdub-lab-kvm-${boot}`);
  if (existsSync(memory)) return readFileSync(memory, 'utf8') === 'works' ? KVM : EMULATION;
  const works = await kvmRunsAGuest();
  writeFileSync(memory, works ? 'works' : 'fails');
  return works ? KVM : EMULATION;
}

/** The proof is a word from inside: SeaBIOS greets on QEMU's debug port before it looks for disks. */
async function kvmRunsAGuest(): Promise<boolean> {
  const directory = mkdtempSync(join(tmpdir(), 'overdub-kvm-'));
  const words = join(directory, 'words');
  const guest = await LabProcess.start(
    [
      'qemu-system-x86_64',
      ...KVM,
      ...['-m', '64', '-nodefaults', '-display', 'none', '-no-reboot'],
      ...['-chardev', `file,id=words,path=${words}`, '-device', 'isa-debugcon,iobase=0x402,chardev=words'],
    ],
    { logFile: join(directory, 'log') },
  );
  try {
    const until = Date.now() + PROOF_MS;
    while (guest.running && Date.now() < until) {
      if (existsSync(words) && readFileSync(words, 'latin1').includes('SeaBIOS')) return true;
      await sleep(100);
    }
    return false;
  } finally {
    await guest.stop(0);
    rmSync(directory, { recursive: true, force: true });
  }
}
