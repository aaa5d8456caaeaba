/** Which mounted filesystems belong to a server: those that live on its own disks. */

import { readFileSync, statfsSync } from 'node:fs';

/** Magic numbers of statfs(2), Linux `include/uapi/linux/magic.h` and the filesystems' own headers. */
const DISK_BACKED: ReadonlySet<number> = new Set([
  0xef53, // ext2, ext3, ext4
  0x58465342, // xfs
  0x9123683e, // btrfs
  0x4d44, // vfat
  0x2011bab0, // exfat
  0xf2f52010, // f2fs
  0x3153464a, // jfs
  0x52654973, // reiserfs
  0x2fc12fc1, // zfs
  0xca451a4e, // bcachefs
  0x7366746e, // ntfs3
]);

const PSEUDO: ReadonlySet<number> = new Set([
  0x9fa0, // proc
  0x62656572, // sysfs
  0x01021994, // tmpfs, devtmpfs
  0x858458f6, // ramfs
  0x1cd1, // devpts
  0x27e0eb, // cgroup
  0x63677270, // cgroup2
  0x64626720, // debugfs
  0x74726163, // tracefs
  0x73636673, // securityfs
  0x19800202, // mqueue
  0x958458f6, // hugetlbfs
  0xde5e81e4, // efivarfs
  0xcafe4a11, // bpf
  0x6165676c, // pstore
  0x62656570, // configfs
  0x42494e4d, // binfmt_misc
  0x0187, // autofs
]);

/** How a scan treats the filesystem that `path` is on. */
export function filesystemKind(path: string): 'disk' | 'pseudo' | 'other' {
  const type = statfsSync(path).type >>> 0;
  if (DISK_BACKED.has(type)) return 'disk';
  return PSEUDO.has(type) ? 'pseudo' : 'other';
}

/** Absolute paths of all mount points this process sees (proc(5), mountinfo). */
export function mountPoints(text: string = readFileSync('/proc/self/mountinfo', 'latin1')): Set<string> {
  const points = new Set<string>();
  for (const line of text.split('\n')) {
    const point = line.split(' ')[4];
    if (point !== undefined) {
      points.add(
        point.replace(/\\([0-7]{3})/g, (_, octal) => String.fromCharCode(Number.parseInt(octal, 8))),
      );
    }
  }
  return points;
}
