/** What every ramdisk holds, whatever the processor: data only. Changing it changes the build's digest, so ramdisks are rebuilt. */

import type { Tree } from './architectures.ts';
import type { ModuleSelection } from './kernel-modules.ts';

/** Counts changes of how the builder puts things together that no other input shows. */
export const LAYOUT_VERSION = 2;

/** Packages whose programs are named in {@link PROGRAMS} or files in {@link TREES}. */
export const PACKAGES = [
  'btrfs-progs',
  'busybox-static',
  'dosfstools',
  'e2fsprogs',
  'efibootmgr',
  'fdisk',
  'grub-common',
  'grub2-common',
  'libc6',
  'libgcc-s1',
  'libstdc++6',
  'mount',
  'util-linux',
  'xfsprogs',
  'zlib1g',
] as const;

/** Packages that the dependency closure names but no program here needs; not even downloaded. */
export const UNWANTED_PACKAGES = /^lib(icu|python|perl|pam|krb5|db5|semanage|sepol|ssl)/;

/** Programs, wherever under `/usr/bin` or `/usr/sbin` a release puts them. Their libraries follow by ELF headers. */
export const PROGRAMS = [
  'blkid',
  'blockdev',
  'btrfs',
  'busybox',
  'dumpe2fs',
  'e2fsck',
  'efibootmgr',
  'findmnt',
  'fsck.fat',
  'grub-editenv',
  'grub-install',
  'grub-mkimage',
  'grub-mkrelpath',
  'grub-probe',
  'grub-script-check',
  'lsblk',
  'mke2fs',
  'mkfs.btrfs',
  'mkfs.fat',
  'mkfs.xfs',
  'mkswap',
  'mount',
  'partx',
  'resize2fs',
  'sfdisk',
  'swaplabel',
  'tune2fs',
  'umount',
  'wipefs',
  'xfs_repair',
] as const;

/** Other names of programs: link → program. */
export const LINKS: Readonly<Record<string, string>> = {
  e2label: 'tune2fs',
  'fsck.ext4': 'e2fsck',
  'fsck.vfat': 'fsck.fat',
  'mkfs.ext2': 'mke2fs',
  'mkfs.ext3': 'mke2fs',
  'mkfs.ext4': 'mke2fs',
  'mkfs.vfat': 'mkfs.fat',
  modprobe: 'busybox',
  sh: 'busybox',
};

/** Libraries that are loaded by name at run time, so that no ELF header tells of them. */
export const LIBRARIES = [
  'libdl.so.2',
  'libm.so.6',
  'libnss_dns.so.2',
  'libnss_files.so.2',
  'libpthread.so.0',
  'libresolv.so.2',
  'librt.so.1',
  'libutil.so.1',
] as const;

/** Whole trees, and single files, below `/`. */
export const TREES: readonly Tree[] = [{ path: 'etc/mke2fs.conf' }, { path: 'usr/share/grub/unicode.pf2' }];

/** Every wired NIC and every storage controller, the filesystems, and a keyboard. */
export const MODULES: ModuleSelection = {
  include: [
    'crypto/',
    'drivers/ata/',
    'drivers/block/',
    'drivers/cdrom/',
    'drivers/char/hw_random/',
    'drivers/char/tpm/',
    'drivers/char/virtio_console',
    'drivers/dax/',
    'drivers/firewire/',
    'drivers/firmware/',
    'drivers/hid/hid',
    'drivers/hid/hid-generic',
    'drivers/hid/hid-hyperv',
    'drivers/hid/usbhid/',
    'drivers/hv/',
    'drivers/input/keyboard/',
    'drivers/input/serio/',
    'drivers/md/',
    'drivers/message/',
    'drivers/mmc/',
    'drivers/net/bonding/',
    'drivers/net/ethernet/',
    'drivers/net/fjes/',
    'drivers/net/hyperv/',
    'drivers/net/macvlan',
    'drivers/net/mdio/',
    'drivers/net/mii',
    'drivers/net/net_failover',
    'drivers/net/pcs/',
    'drivers/net/phy/',
    'drivers/net/thunderbolt',
    'drivers/net/thunderbolt/',
    'drivers/net/usb/',
    'drivers/net/virtio_net',
    'drivers/net/vmxnet3/',
    'drivers/net/xen-netfront',
    'drivers/nvdimm/',
    'drivers/nvme/common/',
    'drivers/nvme/host/',
    'drivers/pci/',
    'drivers/scsi/',
    'drivers/thunderbolt/',
    'drivers/ufs/',
    'drivers/usb/common/',
    'drivers/usb/core/',
    'drivers/usb/host/',
    'drivers/usb/storage/',
    'drivers/virtio/',
    'drivers/xen/',
    'fs/btrfs/',
    'fs/efivarfs/',
    'fs/exfat/',
    'fs/ext4/',
    'fs/f2fs/',
    'fs/fat/',
    'fs/fuse/',
    'fs/isofs/',
    'fs/nls/',
    'fs/overlayfs/',
    'fs/squashfs/',
    'fs/xfs/',
    'net/8021q/',
  ],
  exclude: [
    'crypto/tcrypt',
    'drivers/block/drbd/',
    'drivers/block/null_blk/',
    'drivers/block/rnbd/',
    'drivers/net/phy/sfp',
    'drivers/scsi/scsi_debug',
    'drivers/target/',
  ],
};
