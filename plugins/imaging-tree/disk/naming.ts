/** Kernel names of disks and partitions. */

/** Name of a disk's partition: `sda1`, `vda1`, but `nvme0n1p1`, `mmcblk0p1`, `loop0p1`. */
export function partitionName(disk: string, number: number): string {
  return /[0-9]$/.test(disk) ? `${disk}p${number}` : `${disk}${number}`;
}

/** Whether a block device of /sys/block can be a machine's disk: no RAM disks, loops, optical drives, floppies, stacks. */
export function isDiskName(name: string): boolean {
  return /^(sd[a-z]+|hd[a-z]+|vd[a-z]+|xvd[a-z]+|nvme[0-9]+n[0-9]+|mmcblk[0-9]+|pmem[0-9]+)$/.test(name);
}
